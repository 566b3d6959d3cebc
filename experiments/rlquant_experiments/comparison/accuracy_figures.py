"""Accuracy on the test set against bytes: float, uniform bits, and what searchers find."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from rlquant import measure
from rlquant.problem.protocol import Live
from rlquant.tabular.table_costs import NO_LIMIT
from rlquant.tasks import Task
from rlquant_agents.reporting.figure_axes import COLORS, legend_below, new_axes, own_style
from rlquant_agents.search.uniform import uniform_configs
from rlquant_experiments.comparison.stratum import Stratum

UNIFORM = "uniform"
MARKS = "*osD^vPX"
Points = list[tuple[float, float]]
"""Kilobytes and accuracies."""


def searched_points(strata: Sequence[Stratum]) -> dict[str, Points]:
    """Return for each searcher but uniform its networks' sizes and test accuracies, by budget.

    Of several seeds both are means.
    """
    found: dict[str, Points] = {}
    for stratum in strata:
        for label, runs in stratum.runs.items():
            tests = [run.test.accuracy for run in runs if run.test is not None]
            if label != UNIFORM and tests:
                size = fmean(run.score.size_bytes for run in runs) / 1000
                found.setdefault(label, []).append((size, fmean(tests)))
    return {label: sorted(points) for label, points in found.items()}


def uniform_points(problem: Live, task: Task) -> Points:
    """Return size and test accuracy of every uniform configuration, whatever the budget."""
    found = []
    feasible = problem.with_budget(NO_LIMIT["average_bits"]).feasible
    for config in uniform_configs(feasible):
        tested = measure(problem.build(config), task.test, objective=task.objective)
        found.append((problem.evaluate(config).size_bytes / 1000, tested.accuracy))
    return sorted(found)


@own_style()
def accuracy_figure(
    searched: dict[str, Points], uniform: Points, in_float: tuple[float, float], title: str
) -> Figure:
    """Draw accuracies against kilobytes.

    Args:
        searched: by searcher, the one that stands out first.
        uniform: of uniform bits.
        in_float: of the float network.
        title: what was searched.
    """
    figure, axes = new_axes(width=7.6)
    axes.plot(*zip(*uniform, strict=True), "s-", color="#777777", markersize=6, label=UNIFORM)
    for index, (label, points) in enumerate(searched.items()):
        first = index == 0
        axes.plot(
            *zip(*points, strict=True),
            marker=MARKS[index % len(MARKS)],
            linestyle="-" if first else "none",
            color=COLORS[(index + 1) % len(COLORS)],
            markersize=12 if first else 6,
            markeredgecolor="white",
            label=label,
            zorder=4 if first else 3,
        )
    size, accuracy = in_float
    label = f"float: {accuracy:.3f} at {size:.1f} kB"
    axes.axhline(accuracy, color="#333333", linestyle=(0, (6, 3)), linewidth=1.1, label=label)
    axes.set_xlabel("size of the packed file (kB)")
    axes.set_ylabel("accuracy on the test set")
    axes.set_title(title)
    legend_below(figure)
    return figure
