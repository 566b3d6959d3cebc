"""Figures of statistics, legible with twenty searchers: regret, differences, tables, fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rlquant_agents.reporting.figure_axes import COLORS, new_axes
from rlquant_experiments.comparison.statistics.regrets import Regrets
from rlquant_experiments.comparison.statistics.statistics import (
    Estimate,
    Statistic,
    estimate,
    mean,
)
from rlquant_experiments.comparison.statistics.summary import Summary

TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
LEAST, MOST = 1e-4, 3.0
"""The ends of the regret axis at the widest: zero has no place on it, and what is far above
uniform bits is not worth the room."""
POINTS = 60
"""Places along a curve at which its band is estimated."""
GREY, DARK = "#b0b0b0", "#555555"
LINE_HEIGHT = 0.036
"""Of a label at the end of a curve, as a share of the axes."""
BELOW, ABOVE, LEVEL = COLORS[0], COLORS[1], "#888888"
"""The chosen searcher is nearer to the optimum, farther from it, or not told apart."""


def regret_figure(
    regrets: Regrets, agents: Sequence[str], statistic: Statistic = mean, title: str = ""
) -> Figure:
    """Draw the regret of every searcher against evaluations, each named at its end.

    Args:
        regrets: of all runs.
        agents: drawn in colour with 95 % bands, the others in grey.
        statistic: what is drawn of the runs.
        title: of the figure.
    """
    figure, axes = new_axes(width=8.6, height=5.6)
    most = regrets.evaluations
    numbers = np.arange(1, most + 1)
    places = np.unique(np.geomspace(1, most, POINTS).round().astype(int))
    colors = {label: COLORS[i % len(COLORS)] for i, label in enumerate(agents)}
    ends = {}
    for label in sorted(regrets.labels, key=lambda label: label in colors):
        curve = np.maximum(statistic(np.moveaxis(regrets.curves[label], -1, 0)), LEAST)
        color, width = colors.get(label, GREY), 2.0 if label in colors else 0.9
        axes.plot(numbers, curve, color=color, linewidth=width)
        ends[label] = float(curve[-1])
        if label in colors:
            bands = [estimate(regrets.at(label, int(place)), statistic) for place in places]
            low, high = np.maximum([[b.low for b in bands], [b.high for b in bands]], LEAST)
            axes.fill_between(places, low, high, color=color, alpha=0.15, lw=0)
    _regret_axes(axes, most, list(ends.values()))
    _end_labels(axes, most, ends, colors)
    axes.set_title(title, fontsize=10)
    return figure


def _regret_axes(axes: Axes, most: int, ends: Sequence[float]) -> None:
    axes.set(xscale="log", yscale="log", xlim=(1, most))
    axes.set_ylim(max(LEAST, 0.6 * min(ends)), max(MOST, 1.2 * max(ends)))
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick <= most]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("evaluations (distinct configurations measured)")
    axes.set_ylabel("regret (uniform bits 1, optimum 0)")


def _end_labels(
    axes: Axes, most: int, ends: Mapping[str, float], colors: Mapping[str, str]
) -> None:
    """Name every curve beside its end, moved apart where they would cover each other."""
    low, high = np.log(axes.get_ylim())
    wanted = {label: (np.log(end) - low) / (high - low) for label, end in ends.items()}
    order = sorted(wanted, key=lambda label: wanted[label])
    heights = spread([wanted[label] for label in order], LINE_HEIGHT)
    for label, height in zip(order, heights, strict=True):
        color = colors.get(label, DARK)
        axes.annotate(
            label,
            xy=(1.0, min(1.0, max(0.0, wanted[label]))),
            xytext=(1.035, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=color,
            fontsize=8,
            fontweight="bold" if label in colors else "normal",
            verticalalignment="center",
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.5,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
            annotation_clip=False,
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places at least `gap` apart, near those wanted, which ascend.

    Neighbours that are too near share the room around their mean (pooling of violators).
    """
    pools: list[tuple[float, int]] = []  # mean of the first places of a group, its size
    for index, place in enumerate(wanted):
        mean, size = place - index * gap, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    shifted = [mean for mean, size in pools for _ in range(size)]
    return [mean + index * gap for index, mean in enumerate(shifted)]


def differences_figure(summary: Summary) -> Figure:
    """Draw how far the chosen searcher's mean regret is from each other's, with intervals."""
    marks, count = summary.compared_at, len(summary.differences[summary.compared_at[0]])
    figure = Figure(figsize=(1.6 + 4.0 * len(marks), 1.5 + 0.24 * count), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(marks), sharey=True))
    order = [other.label for other in summary.differences[marks[-1]]][::-1]
    for axes, mark in zip(panels, marks, strict=True):
        axes.axvline(0, color=DARK, linewidth=0.8)
        for other in summary.differences[mark]:
            of = other.mean
            color = BELOW if of.high < 0 else ABOVE if of.low > 0 else LEVEL
            row = order.index(other.label)
            axes.plot([of.low, of.high], [row, row], color=color, linewidth=2, alpha=0.6)
            axes.plot(of.value, row, "o", color=color, markersize=4.5)
        axes.set_xscale("symlog", linthresh=0.01, linscale=0.8)
        axes.set_title(f"after {mark} evaluations", fontsize=9)
        axes.set_yticks(range(count), order, fontsize=8)
        axes.set_ylim(-0.7, count - 0.3)
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:+g}" if value else "0")
        )
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        f"mean regret of {summary.chosen} less that of the baseline; left of 0 is in its favour, "
        f"grey not told apart",
        fontsize=8,
    )
    return figure


def tables_figure(regrets: Regrets, tables: Sequence[str], mark: int) -> Figure:
    """Draw the mean regret of every searcher on every table after some evaluations.

    Args:
        regrets: of all runs.
        tables: of each stratum, the table it is of.
        mark: the number of evaluations.
    """
    names, labels = list(dict.fromkeys(tables)), regrets.ranked(mark)
    values = np.array(
        [
            [regrets.at(label, mark)[:, [t == name for t in tables]].mean() for name in names]
            for label in labels
        ]
    )
    size = (2.4 + 0.75 * len(names), 1.7 + 0.25 * len(labels))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(
        np.maximum(values, 1e-3), norm=LogNorm(1e-3, 10), cmap="YlOrRd", aspect="auto", alpha=0.85
    )
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=7)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"mean regret after {mark} evaluations", fontsize=9)
    return figure


def volumes_figure(levels: Mapping[str, Estimate]) -> Figure:
    """Return a figure of what each way's fronts dominate, with intervals, the largest on top."""
    ranked = sorted(levels, key=lambda way: levels[way].value)
    figure, axes = new_axes(7.0, 1.2 + 0.4 * len(ranked))
    for place, way in enumerate(ranked):
        found = levels[way]
        around = [[found.value - found.low], [found.high - found.value]]
        color = COLORS[0] if "every budget" in way else "#777777"
        axes.errorbar(found.value, place, xerr=around, fmt="o", color=color, capsize=3)
        axes.annotate(
            f"{found.value:.3f}", (found.high, place), (6, 0), textcoords="offset points",
            va="center", color=color,
        )  # fmt: skip
    axes.set_yticks(range(len(ranked)), ranked)
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.margins(x=0.12)
    axes.set_xlabel("hypervolume (share; 95 % intervals)")
    return figure
