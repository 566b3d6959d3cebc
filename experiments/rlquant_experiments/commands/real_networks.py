"""Measure pretrained networks, quantized uniformly and by searches: a table and a figure for each.

Every finished row is kept at once; started again with the same settings, it goes on. The page is
written after every row.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial

from rlquant.files import make_folder
from rlquant.folder_lock import held
from rlquant_agents.cli.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.real_networks.measuring import measure_rows
from rlquant_experiments.real_networks.page import write_page
from rlquant_experiments.real_networks.rows import (
    Figures,
    Row,
    kept_rows,
    searched_rows,
    uniform_rows,
)
from rlquant_experiments.real_networks.settings import RealNetworkSettings


def run(settings: RealNetworkSettings, command: Sequence[str]) -> int:
    """Measure what is not measured yet; the page holds what there is."""
    settings.check()
    if settings.page_only:
        kept = dict(kept_rows(settings))
        write_page(settings, kept, command)
        say(f"wrote the page of {len(kept)} rows to {settings.report or settings.out}")
        return 0
    make_folder(settings.out)
    rows: dict[Row, Figures] = {}
    total = sum(
        sum(1 for _ in some(settings, task))
        for task in settings.tasks
        for some in (uniform_rows, searched_rows)
    )
    start = time.perf_counter()
    with held(settings.out):
        try:
            for row, figures in measure_rows(settings):
                rows[row] = figures
                write_page(settings, rows, command)
                _tell(row, figures, len(rows), total, time.perf_counter() - start)
        except KeyboardInterrupt:
            say(f"interrupted; the same command goes on from {settings.out}", sys.stderr)
            return INTERRUPTED
    return 0


def _tell(row: Row, figures: Figures, done: int, total: int, seconds: float) -> None:
    left = seconds / done * (total - done) / 60
    say(
        f"[{done}/{total}, about {left:.0f} min left] {row.name}: "
        f"{figures.average_bits:.3f} bits, loss {figures.loss:.4f}, {figures.metrics}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(RealNetworkSettings, partial(run, command=command), argv, __doc__)
