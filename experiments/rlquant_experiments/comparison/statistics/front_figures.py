"""Hypervolumes as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from rlquant_agents.reporting.figure_axes import COLORS, new_axes
from rlquant_experiments.comparison.statistics.statistics import Estimate


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
