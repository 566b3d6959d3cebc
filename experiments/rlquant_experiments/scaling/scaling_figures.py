"""The figure of the page: efficiency against workers, a panel a network, and regret by batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from rlquant_agents.reporting.figure_axes import COLORS, LEGEND, own_style
from rlquant_agents.search.curves import Curve
from rlquant_experiments.scaling.simulated import ASYNCHRONOUS, Simulated

COLUMNS = 2
LEAST = 1e-4
"""Smaller regrets are drawn here, zero among them."""


@own_style()
def scaling_figure(found: Sequence[Simulated], regrets: Mapping[str, Curve]) -> Figure:
    """Draw the efficiencies of every network, and mean regrets.

    Args:
        found: simulated.
        regrets: by label, after each evaluation.
    """
    rows = math.ceil((len(found) + 1) / COLUMNS)
    figure = Figure(figsize=(4.4 * COLUMNS, 3.3 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, COLUMNS, squeeze=False)).ravel()
    for axes, network in zip(panels, found, strict=False):
        _draw_efficiencies(axes, network)
    panels[0].legend(**LEGEND, loc="lower left")
    _draw_regrets(panels[len(found)], regrets)
    for axes in panels[len(found) + 1 :]:
        axes.set_visible(False)
    for axes in panels:
        axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def _draw_efficiencies(axes: Axes, network: Simulated) -> None:
    for index, (way, by_workers) in enumerate(network.efficiencies.items()):
        line = "--" if way == ASYNCHRONOUS else "-"
        axes.plot(
            list(by_workers),
            list(by_workers.values()),
            line,
            marker=".",
            color=COLORS[index],
            label=way,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0.0, 1.02)
    axes.set_title(f"{network.network}, {_seconds(network.mean)} an evaluation", fontsize=9)
    axes.set_xlabel("workers (simulated)", fontsize=8)
    axes.set_ylabel("efficiency", fontsize=8)


def _seconds(value: float) -> str:
    return f"{1000 * value:.0f} ms" if value < 0.95 else f"{value:.1f} s"


def _draw_regrets(axes: Axes, regrets: Mapping[str, Curve]) -> None:
    for index, (label, regret) in enumerate(regrets.items()):
        numbers = np.arange(1, len(regret) + 1)
        axes.plot(
            numbers,
            np.maximum(regret, LEAST),
            color=COLORS[index],
            label=label.replace("-", " "),
            drawstyle="steps-post",
        )
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(**LEGEND, loc="lower left")
    axes.set_title("what is found at equal evaluations", fontsize=9)
    axes.set_xlabel("evaluations", fontsize=8)
    axes.set_ylabel("mean regret (uniform 1, optimum 0)", fontsize=8)
