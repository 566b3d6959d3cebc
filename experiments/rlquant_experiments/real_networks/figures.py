"""The figure of a task: test loss against bytes, uniform configurations and searches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from rlquant_agents.reporting.figure_axes import own_style
from rlquant_experiments.real_networks.rows import AGENT, Figures, Rows, grouped, mean_of

MEGA = 1e6
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<")
"""Of searches, hollow, so that none hides another; the agent has a star."""


@own_style()
def figure_of(task: str, rows: Rows) -> Figure:
    """Return the test losses of a task's rows against their bytes."""
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    lines: dict[str, list[Figures]] = {}
    for row, found in grouped(rows).items():
        if row.quantizer is not None:
            lines.setdefault(f"{row.label}, {row.group_size}", []).append(mean_of(found))
        elif row.searcher:
            lines.setdefault(row.label, []).append(mean_of(found))
    markers = cycle(MARKERS)
    for label, found in sorted(lines.items(), key=lambda line: line[0] == AGENT):  # on top of all
        if label.startswith("uniform"):
            _draw(axes, label, found, marker=".", linestyle="-", linewidth=0.8)
        elif label == AGENT:
            _draw(axes, label, found, marker="*", linestyle="none", markersize=9, color="black")
        else:
            marker = next(markers)
            _draw(axes, label, found, marker=marker, linestyle="none", fillstyle="none")
    axes.set(xlabel="packed file (MB)", ylabel="test loss", title=task, yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")  # powers would need a formula
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_minor_formatter("{x:g}")
    if lines:
        figure.legend(loc="outside right upper", fontsize="x-small")
    return figure


def _draw(axes: Axes, label: str, found: Sequence[Figures], **style: Any) -> None:
    ordered = sorted(found, key=lambda each: each.size_bytes)
    sizes = [each.size_bytes / MEGA for each in ordered]
    losses = [max(each.loss, 1e-6) for each in ordered]
    axes.plot(sizes, losses, label=label, **style)
