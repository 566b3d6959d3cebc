"""The figure of a reproduction; no window is opened and no global state of matplotlib touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from rlquant_experiments.reproduction.panels import Panel, Series

DPI = 150
COLUMNS = 2
WIDTH, HEIGHT = 5.4, 3.9
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#777777")
"""Told apart also by colour-blind readers (Okabe and Ito 2008), with two more."""
MARKERS = "osD^vPX*"
CONTROL = "#333333"
NARROW = 20.0
"""Logarithmic axes with a smaller ratio of ends than this have more numbers on them."""
FEW_POSITIONS = 6
"""So many positions on the x axis are each named."""


def panels_figure(panels: Sequence[Panel]) -> Figure:
    """Draw the panels, two in a row: means over the seeds, and bars over their whole range."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    labels = list(dict.fromkeys(s.label for p in panels for s in p.series if not s.dashed))
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, labels)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: Axes, panel: Panel, labels: Sequence[str]) -> None:
    axes.grid(visible=True, which="major", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    words = list(dict.fromkeys(x for s in panel.series for x in s.x if isinstance(x, str)))
    bars = [series.label for series in panel.series if not series.dashed]
    for series in panel.series:
        shift = 0.0
        if words and not series.dashed:
            # Side by side within a category, so that bars do not hide each other.
            shift = (bars.index(series.label) - (len(bars) - 1) / 2) * 0.12
        _draw_series(axes, series, labels, words, shift)
    if words:
        axes.set_xticks(range(len(words)), words)
        if len(words) > FEW_POSITIONS:  # side by side they would cover each other
            axes.tick_params(axis="x", rotation=40)
            for label in axes.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        axes.set_xlim(-0.5, len(words) - 0.5)
    _scale(axes, panel)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x_label, fontsize=9)
    axes.set_ylabel(panel.y_label, fontsize=9)
    axes.tick_params(labelsize=8, which="both")
    if len(panel.series) > 1:
        axes.legend(fontsize=8, framealpha=0.85, edgecolor="none")


def _draw_series(
    axes: Axes, series: Series, labels: Sequence[str], words: Sequence[str], shift: float
) -> None:
    place = labels.index(series.label) if series.label in labels else 0
    color = CONTROL if series.dashed else COLORS[place % len(COLORS)]
    positions = [words.index(x) + shift if isinstance(x, str) else x for x in series.x]
    stack = np.array(series.y, dtype=np.float64)
    mean, low, high = stack.mean(axis=0), stack.min(axis=0), stack.max(axis=0)
    if series.dashed:
        axes.plot(positions, mean, color=color, linestyle="--", linewidth=1.2, label=series.label)
        axes.fill_between(positions, low, high, color=color, alpha=0.12, linewidth=0)
        return
    axes.errorbar(
        positions,
        mean,
        yerr=(mean - low, high - mean),
        color=color,
        linestyle="none" if words else "-",
        marker=MARKERS[place % len(MARKERS)],
        markersize=5,
        linewidth=1.5,
        elinewidth=1.0,
        capsize=2.5,
        label=series.label,
    )


def _scale(axes: Axes, panel: Panel) -> None:
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    if panel.logarithmic:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(plain if high < NARROW * low else NullFormatter())
    numbers = {float(x) for s in panel.series for x in s.x if not isinstance(x, str)}
    if panel.logarithmic_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if numbers and (panel.logarithmic_x or len(numbers) <= FEW_POSITIONS):
        axes.xaxis.set_major_locator(FixedLocator(sorted(numbers)))
        axes.xaxis.set_major_formatter(plain)
