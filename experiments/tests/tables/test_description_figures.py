"""The figure of tables: a panel each, with the exact front in it."""

from __future__ import annotations

import math

import pytest

from rlquant import Budget, Table, TabularProblem
from rlquant.testing import random_table
from rlquant_agents.reporting.figure_files import png
from rlquant_experiments.tables.description_figures import COLUMNS, MOST_BITS, tables_figure


def front_of(table: Table) -> tuple[list[float], list[float]]:
    scores = [score for _, score in TabularProblem(table, Budget.average_bits(64.0)).pareto()]
    return [score.average_bits for score in scores], [score.loss for score in scores]


@pytest.mark.parametrize("count", [1, 3, COLUMNS + 1])
def test_each_table_has_a_panel_with_its_front_and_float_loss(count: int) -> None:
    tables = [random_table(2 + seed % 2, 5, seed=seed) for seed in range(count)]
    figure = tables_figure(tables)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == count
    for axes, table in zip(shown, tables, strict=True):
        front, reference = axes.get_lines()
        bits, losses = front_of(table)
        assert front.get_xdata()[:-1] == pytest.approx(bits)
        assert front.get_ydata()[:-1] == pytest.approx(losses)
        assert front.get_ydata()[-1] == losses[-1]  # more bits change nothing
        assert set(reference.get_ydata()) == {table.float_score.loss}
        assert reference.get_linestyle() == "--"
        assert axes.get_yscale() == "log"
        assert axes.get_title() == f"{table.name}\n{table.count:,} configurations"
    assert len(png(figure)) > 10_000


def test_axes_say_what_they_show() -> None:
    figure = tables_figure([random_table(2, 3)])
    assert figure.get_supxlabel() == "average bits per weight, scales included"
    assert figure.get_supylabel() == "validation loss (cross-entropy)"
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["exact front", "float"]


def test_the_axis_of_bits_runs_from_the_fewest_upwards() -> None:
    few, many = (random_table(1, options) for options in (1, 15))
    for axes, table in zip(tables_figure([few, many]).axes, (few, many), strict=True):
        low, high = axes.get_xlim()
        assert low == front_of(table)[0][0]
        assert high == MOST_BITS
        assert math.isfinite(high - low)
