"""The figure of the page: the agent's difference to every searcher on every problem."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from matplotlib.figure import Figure

from rlquant_agents.reporting.figure_axes import own_style
from rlquant_experiments.at_scale.problems import Problem
from rlquant_experiments.at_scale.standing import baselines, level, standings
from rlquant_experiments.real_networks.rows import AGENT

MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "p")


@own_style()
def differences_figure(problems: Sequence[Problem]) -> Figure:
    """Return a row for each problem, and in it each searcher's log loss above the agent's."""
    shown = [problem for problem in problems if AGENT in problem.runs]
    figure = Figure(figsize=(8.0, 1.6 + 0.35 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for standing, marker in zip(standings(shown, baselines(shown)), cycle(MARKERS), strict=False):
        name = standing.searcher
        places = [i for i, problem in enumerate(shown) if name in problem.runs]
        gaps = [level(shown[i], name) - level(shown[i], AGENT) for i in places]
        axes.plot(gaps, places, marker, fillstyle="none", label=name)
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [problem.name for problem in shown])
    axes.invert_yaxis()
    axes.set(xlabel=f"log test loss above that of {AGENT} (right of the line {AGENT} is ahead)")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", fontsize="x-small")
    return figure
