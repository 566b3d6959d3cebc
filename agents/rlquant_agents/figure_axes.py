"""What all figures share: axes, colours, numbers on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from rlquant_agents.comparison import Curve

NARROW = 4.0
"""Loss axes with a smaller ratio of ends than this have equally spaced numbers."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#555555")
"""Told apart also by colour-blind readers (Okabe and Ito 2008), with two more."""

LEGEND: dict[str, Any] = {"fontsize": 8, "framealpha": 0.85, "edgecolor": "none"}


def new_axes(width: float = 7.0, height: float = 4.4) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, which="major", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain_numbers(axis: Axis, low: float, high: float, *, most: int, subs: Sequence[float]) -> None:
    """Label a logarithmic axis without powers; a narrow one at equal steps."""
    narrow = high < NARROW * low
    axis.set_major_locator(MaxNLocator(most) if narrow else LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(NullLocator())


def evaluations_axis(axes: Axes) -> None:
    """Say that the horizontal axis counts evaluations."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("evaluations (distinct configurations measured)")


def extended(curve: Curve, length: int) -> Curve:
    """Return a curve that keeps its last value up to `length`; NaN for an empty one."""
    tail = np.full(length - len(curve), curve[-1] if len(curve) else np.nan)
    return np.concatenate([curve, tail])
