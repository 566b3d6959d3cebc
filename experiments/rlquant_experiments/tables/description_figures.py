"""The front of every table in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rlquant import Budget, Table, TabularProblem
from rlquant_agents.reporting.figure_axes import COLORS, LEGEND, plain_numbers

COLUMNS = 4
MOST_BITS = 5.0
"""Beyond so many average bits nothing changes that could be seen."""


def tables_figure(tables: Sequence[Table]) -> Figure:
    """Draw the exact front of average bits and loss of each table, a panel each.

    Args:
        tables: at least one.
    """
    rows = math.ceil(len(tables) / COLUMNS)
    columns = min(COLUMNS, len(tables))
    figure = Figure(figsize=(3.1 * columns, 2.6 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes, table in zip(panels, tables, strict=False):
        front = TabularProblem(table, Budget.average_bits(64.0)).pareto()
        bits = [score.average_bits for _, score in front]
        losses = [score.loss for _, score in front]
        right = max(MOST_BITS, bits[0] + 1.0)  # more bits than the last one's change nothing
        bits, losses = [*bits, max(right, bits[-1])], [*losses, losses[-1]]
        axes.step(bits, losses, where="post", color=COLORS[0], linewidth=1.4, label="exact front")
        axes.axhline(table.float_score.loss, color="#333333", linestyle="--", label="float")
        axes.set_yscale("log")
        plain_numbers(axes.yaxis, table.float_score.loss, max(losses), most=5, subs=(1.0, 3.0))
        axes.set_xlim(bits[0], right)
        axes.set_title(f"{table.name}\n{table.count:,} configurations", fontsize=9)
        axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in panels[len(tables) :]:
        axes.set_visible(False)
    panels[0].legend(**LEGEND)
    figure.supxlabel("average bits per weight, scales included", fontsize=9)
    figure.supylabel("validation loss (cross-entropy)", fontsize=9)
    return figure
