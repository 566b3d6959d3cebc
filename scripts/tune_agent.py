"""Tune the settings of a searcher on tables, and judge them on tables that were held out.

Writes a report and changes no code. Tables are made up unless others are named, so that none that
comes with rlquant, on which searchers are compared, is tuned on. Every finished run is kept at
once; started again with the same settings, it goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from rlquant_agents.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.tuning import tune
from rlquant_agents.tuning_report import write_report
from rlquant_agents.tuning_settings import TuneSettings


def run(settings: TuneSettings, command: Sequence[str]) -> int:
    """Try settings, judge the best, and write and show the report."""
    tuning = tune(settings)
    if tuning is None:
        print(
            f"interrupted; the same command goes on from {settings.folder}, with fewer --trials it "
            f"judges the best so far",
            file=sys.stderr,
        )
        return INTERRUPTED
    print(write_report(settings, tuning, command))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(TuneSettings, partial(run, command=command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
