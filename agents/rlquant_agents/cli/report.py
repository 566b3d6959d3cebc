"""Make the report of a search again, from the files in its folder.

Every search ends with it; here it may also show other searches of the same problem, such as the
baselines that `rlquant search` ran beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rlquant_agents.cli.command_line import run_command
from rlquant_agents.cli.config_file import CommandSettings
from rlquant_agents.cli.terminal import say
from rlquant_agents.reporting import write_report


@dataclass(frozen=True, kw_only=True)
class ReportSettings(CommandSettings):
    """What to report.

    Attributes:
        run: folder that a search wrote, e.g. runs/digits-resnet8-auto-3.2-seed0.
        against: folders of other searches of the same problem, to compare with.
        out: HTML file to write; by default report.html in the folder of the run.
    """

    run: Annotated[Path, tyro.conf.Positional]
    against: tuple[Path, ...] = ()
    out: Path | None = None


def run(settings: ReportSettings) -> int:
    """Write the page, show the same in short, and say where the page is."""
    report = write_report(settings.run, settings.against, settings.out)
    say(report.text)
    say(f"\nreport: {settings.out or settings.run / 'report.html'}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    return run_command(ReportSettings, run, argv, __doc__, prog="rlquant report")
