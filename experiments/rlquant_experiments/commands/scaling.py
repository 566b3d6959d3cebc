"""Measure what workers bring to searches: overheads here, hundreds of workers simulated.

What is measured and every finished search are kept in --out; started again with the same settings,
it goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from rlquant.files import make_folder
from rlquant.folder_lock import held
from rlquant_agents.cli.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.cli.hints import near
from rlquant_agents.cli.terminal import say
from rlquant_experiments.scaling.measured import measured
from rlquant_experiments.scaling.page import write_page
from rlquant_experiments.scaling.quality import searched
from rlquant_experiments.scaling.settings import ScalingSettings


def run(settings: ScalingSettings, command: Sequence[str]) -> int:
    """Measure what is not measured yet, run what has not run, write the page."""
    settings.check()
    make_folder(settings.out)
    with held(settings.out):
        found = measured(settings, settings.out / "measured.json")
        strata = searched(settings)
        if strata is None:
            say(f"interrupted; the same command goes on from {settings.out}", sys.stderr)
            return INTERRUPTED
        write_page(settings, found, strata, command)
    say(f"written to {near(settings.reports[-1])}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(ScalingSettings, partial(run, command=command), argv, __doc__)
