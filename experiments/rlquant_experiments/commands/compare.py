"""Compare searchers with equal evaluations, on one task or on tables whose optimum is known.

Every finished run is kept at once; started again with the same settings, it goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from rlquant_agents.cli.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.cli.hints import near
from rlquant_agents.cli.terminal import say
from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.comparison import compare
from rlquant_experiments.comparison.report_file import in_short


def run(settings: CompareSettings, command: Sequence[str]) -> int:
    """Run what has not run yet, then write the comparison and show its main tables."""
    report = compare(settings, command)
    if report is None:
        say(f"interrupted; the same command goes on from {settings.folder}", sys.stderr)
        return INTERRUPTED
    say(in_short(report))
    say(f"\nwhole report: {near(settings.targets[-1])}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(CompareSettings, partial(run, command=command), argv, __doc__)
