"""The figure of a comparison on a table: how fast each searcher comes near the optimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from rlquant_agents.reporting.figure_axes import (
    LEGEND,
    Stack,
    draw_runs,
    evaluations_axis,
    new_axes,
)
from rlquant_agents.search.curves import Curve

LEAST = 1e-4
"""Smaller regrets are drawn here, zero among them: a logarithmic axis has no place for it."""
BAND = (0.1, 0.9)
"""Quantiles of the runs between which the band lies."""
TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


def regret_figure(curves: Mapping[str, Sequence[Curve]], title: str = "") -> Figure:
    """Draw the mean regret of several searchers, and where most of their runs lie.

    Args:
        curves: by searcher, the regret after each evaluation of every run; NaN before the first
            configuration within the budget. A run that stopped early keeps its last value.
        title: of the figure.
    """
    figure, axes = new_axes(width=7.6)
    longest = draw_runs(axes, curves, _mean_and_band, "mean")
    axes.set(xscale="log", yscale="log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    evaluations_axis(axes)
    axes.set_xticks([tick for tick in TICKS if tick <= longest])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("regret (uniform bits 1, optimum 0)")
    if curves:
        axes.legend(**LEGEND, loc="lower left")
    axes.set_title(title or "Mean regret")
    return figure


def _mean_and_band(stack: Stack) -> tuple[Curve, Curve, Curve]:
    low, high = np.maximum(np.quantile(stack, BAND, axis=0), LEAST)
    return np.maximum(stack.mean(axis=0), LEAST), low, high
