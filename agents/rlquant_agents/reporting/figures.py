"""The figures of runs: loss against cost, bits of layers, loss against evaluations.

The folder of a run holds them as PNG, its report as SVG. No window is opened, no global state
of matplotlib is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlquant import LayerChoice, Score
from rlquant_agents.reporting.figure_axes import (
    COLORS,
    LARGEST,
    LEGEND,
    Stack,
    draw_curve,
    draw_points,
    draw_runs,
    drawable,
    evaluations_axis,
    legend_below,
    loss_axis,
    new_axes,
    own_style,
)
from rlquant_agents.reporting.quantities import QUANTITIES
from rlquant_agents.reporting.run_files import RunFiles
from rlquant_agents.reporting.words import decimal
from rlquant_agents.search.curves import Curve

INK, GREY = "#333333", "#9a9a9a"
REFERENCE_LINES = {"float": (INK, (0, (6, 3))), "uniform": ("#777777", (0, (1, 1.5)))}
LONGEST = 40
"""Letters of a name beyond which its middle is left out."""
ROW, LOWEST_ROW, HIGH, HIGHEST = 0.28, 0.13, 60.0, 400.0
"""Inches of a layer's row: usually, at least, and of all rows before they become lower and at most;
pictures have at most 65,536 pixels."""


Figures = dict[str, Figure]


def run_figures(runs: Mapping[str, RunFiles]) -> Figures:
    """Return the figures of a run by the names that their files have.

    Args:
        runs: by name, the one that is reported first; the others are in `search` alone.
    """
    run = next(iter(runs.values()))
    return {
        "layers": layers_figure(run),
        "pareto": pareto_figure(run),
        "search": search_figure(runs),
    }


@own_style()
def pareto_figure(run: RunFiles) -> Figure:
    """Draw loss against what the budget limits: all evaluations, the front, the best, the limit."""
    figure, axes = new_axes()
    label, factor = QUANTITIES[run.quantity]

    def place(score: Score) -> tuple[float, float]:
        return factor * float(getattr(score, run.quantity)), score.loss

    for inside, color, name in (
        (False, GREY, "over the budget"),
        (True, COLORS[0], "within the budget"),
    ):
        seen = [e for e in run.evaluations if e.final and e.feasible is inside]
        draw_points(axes, [(factor * e.cost, e.loss) for e in seen], color, name)
    front = [(factor * e.cost, e.loss) for e in run.front if drawable(e.loss)]
    if front:
        x, y = zip(*front, strict=True)
        axes.step(x, y, where="post", color=COLORS[1], linewidth=1.4, label="Pareto front")
    if drawable(factor * run.limit):
        axes.axvline(factor * run.limit, color=INK, linewidth=1.0, label="budget")
    for name, score in run.references.items():
        if name == "float":
            _reference_line(axes, name, score)
        else:
            _mark(axes, place(score), "s", INK, _with_loss(name, score))
    best = run.outcome.score
    _mark(axes, place(best), "*", COLORS[1], _with_loss("delivered", best))
    axes.set_xlabel(label)
    loss_axis(axes)
    legend_below(figure)
    return figure


@own_style()
def layers_figure(run: RunFiles) -> Figure:
    """Draw a bar for each layer in execution order, first on top, and write the choice beside it.

    A layer that stays float has a grey bar of full length.
    """
    choices = list(run.config)
    row_height = min(ROW, max(LOWEST_ROW, HIGH / max(1, len(choices))))
    figure, axes = new_axes(height=1.3 + min(HIGHEST, row_height * len(choices)))
    widest = max([1, *(c.bits for c in (*run.facts.options, *choices) if not _is_float(c))])
    rows = np.arange(len(choices))
    bits = [widest if _is_float(choice) else choice.bits for choice in choices]
    colors = ["#d0d0d0" if _is_float(choice) else COLORS[0] for choice in choices]
    axes.barh(rows, bits, color=colors, height=0.66)
    for row, width, choice in zip(rows, bits, choices, strict=True):
        axes.annotate(
            choice.in_words,
            (width, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    names = [f"{shortened(f.name or 'network')} ({f.parameters:,})" for f in run.facts.layers]
    axes.set_yticks(rows, names, fontsize=8)
    axes.set_ylim(len(choices) - 0.4, -0.6)
    axes.set_xlim(0, widest)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("bits per weight code")
    axes.grid(axis="y", visible=False)
    return figure


@own_style()
def search_figure(runs: Mapping[str, RunFiles]) -> Figure:
    """Draw the best loss so far of one or more runs against evaluations.

    Args:
        runs: by name, the one that is reported first; its single evaluations are drawn too.
    """
    figure, axes = new_axes()
    own, run = next(iter(runs.items()))
    seen = [(n, e.loss) for n, e in enumerate(run.evaluations, start=1) if e.candidate]
    draw_points(axes, seen, GREY, f"one evaluation of {shortened(own)}")
    for index, (name, each) in enumerate(runs.items()):
        curve = np.where(np.abs(each.curve) <= LARGEST, each.curve, np.nan)
        last = f"loss {decimal(float(each.curve[-1]))}" if len(curve) else "nothing"
        draw_curve(axes, curve, index + 1, f"best of {shortened(name)}: {last}", zorder=4 - index)
    for name, score in run.references.items():
        _reference_line(axes, name, score)
    evaluations_axis(axes)
    loss_axis(axes)
    legend_below(figure)
    return figure


@own_style()
def comparison_figure(
    curves: Mapping[str, Sequence[Curve]], references: Mapping[str, Score], title: str = ""
) -> Figure:
    """Draw the best loss so far of several searchers: median over the runs, and their range.

    Args:
        curves: by searcher, the best loss after each evaluation of every run (`best_losses`); a
            run that stopped early keeps its last value.
        references: scores to compare with, by name ("float", "uniform").
        title: of the figure.
    """
    figure, axes = new_axes(width=7.6)
    draw_runs(axes, curves, _median_and_range, "median")
    for name, score in references.items():
        _reference_line(axes, name, score)
    evaluations_axis(axes)
    _show_ends(axes, curves, references)
    loss_axis(axes)
    axes.legend(**LEGEND, loc="upper right")
    axes.set_title(title or "Best validation loss within budget")
    return figure


def shortened(name: str) -> str:
    """Return a name with its middle left out where it is too long."""
    half = (LONGEST - 1) // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"


def _is_float(choice: LayerChoice) -> bool:
    return choice.method == "float"


def _with_loss(name: str, score: Score) -> str:
    bits = "" if name == "float" else f" at {score.average_bits:.2f} bits"
    return f"{name}{bits}: loss {decimal(score.loss)}"


def _mark(axes: Axes, at: tuple[float, float], mark: str, color: str, label: str) -> None:
    if all(map(drawable, at)):
        size = 15 if mark == "*" else 7
        axes.plot(*at, mark, color=color, markersize=size, mec="w", label=label, zorder=5)


def _reference_line(axes: Axes, name: str, score: Score) -> None:
    if drawable(score.loss):
        color, dashes = REFERENCE_LINES.get(name, ("#888888", (0, (3, 2))))
        label = _with_loss(name, score)
        axes.axhline(score.loss, color=color, linestyle=dashes, linewidth=1.1, label=label)


def _median_and_range(stack: Stack) -> tuple[Curve, Curve, Curve]:
    return np.median(stack, axis=0), stack.min(axis=0), stack.max(axis=0)


def _show_ends(
    axes: Axes, curves: Mapping[str, Sequence[Curve]], references: Mapping[str, Score]
) -> None:
    """Leave the first evaluations and far lines out of sight: they would flatten all the rest."""
    seen = [curve[min(len(curve) - 1, len(curve) // 20) :] for c in curves.values() for curve in c]
    near = [score.loss for name, score in references.items() if name == "float"]
    losses = np.concatenate([*seen, near])
    losses = losses[np.isfinite(losses)]
    if len(losses) and losses.min() > 0:
        axes.set_ylim(0.95 * losses.min(), 1.1 * losses.max())
