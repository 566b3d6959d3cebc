"""The table of calibration's methods, on a small network."""

from __future__ import annotations

from rlquant import tasks
from rlquant_experiments.benchmarks.calibration import METHODS, Uniform, measured
from rlquant_experiments.commands.calibration import table


def test_a_row_has_the_figures_of_each_method() -> None:
    task = tasks.load("digits/cnn")
    uniforms = (Uniform(8), Uniform(3, 64, depthwise_bits=8))
    rows = list(measured(task, uniforms, calibration=64, validation=100))
    assert [list(row.figures) for row in rows] == [list(METHODS)] * 2
    assert rows[0].figures["by difference"]["KL"] < 0.01
    lines = list(table(rows))
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| 3, depthwise 8 | 64 | nearest | ")
