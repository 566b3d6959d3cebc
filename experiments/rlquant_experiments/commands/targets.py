"""Measure SmolLM2-135M as files of each target: beside llama.cpp's recipes, and run there.

Every finished row is kept at once; started again with the same settings, it goes on. The page is
written after every row.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from rlquant import tasks
from rlquant.files import make_folder
from rlquant.folder_lock import held
from rlquant.tasks.pretrained.smollm2 import FILE, NAME
from rlquant_agents.cli.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.targets.measuring import Lab, kept_rows, measure_rows
from rlquant_experiments.targets.page import write_page
from rlquant_experiments.targets.rows import Figures, Row, rows_of
from rlquant_experiments.targets.settings import TargetsSettings


def run(settings: TargetsSettings, command: Sequence[str]) -> int:
    """Measure what is not measured yet; the page holds what there is."""
    settings.check()
    make_folder(settings.out)
    if settings.page_only:
        write_page(settings, kept_rows(settings), command)
        return 0
    rows: dict[Row, Figures] = {}
    total = sum(1 for _ in rows_of(settings))
    with held(settings.out):
        try:
            for row, figures in measure_rows(
                Lab(tasks.load(NAME), FILE.find(), settings), settings
            ):
                rows[row] = figures
                write_page(settings, rows, command)
                say(f"[{len(rows)}/{total}] {row.name}: KL {figures.kl:.4f}, {figures.types}")
        except KeyboardInterrupt:
            say(f"interrupted; the same command goes on from {settings.out}", sys.stderr)
            return INTERRUPTED
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(TargetsSettings, partial(run, command=command), argv, __doc__)
