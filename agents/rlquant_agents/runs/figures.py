"""Figures of searches; no window is opened and no global state of matplotlib is touched."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from rlquant import Budget, LayerFacts, QuantizationConfig, Score, SearchSpace
from rlquant.escaping import printable
from rlquant.space import HEADS
from rlquant_agents.reporting.quantities import QUANTITIES
from rlquant_agents.runs.figure_axes import (
    COLORS,
    LEGEND,
    Stack,
    draw_runs,
    evaluations_axis,
    new_axes,
    own_style,
    plain_numbers,
)
from rlquant_agents.search.curves import Curve, best_losses
from rlquant_agents.search.result import Evaluation, pareto_front

DPI = 150
LOSS = "validation loss (mean per sample)"
REFERENCE_LINES = {"float": ("#333333", (0, (6, 3))), "uniform": ("#888888", (0, (1, 1.5)))}


@own_style()
def pareto_figure(
    history: Sequence[Evaluation], budget: Budget, references: Mapping[str, Score]
) -> Figure:
    """Draw loss against what the budget limits: all evaluations, the front, best and budget.

    Args:
        history: the evaluations of a search.
        budget: the limit.
        references: scores to compare with, by name ("float", "uniform").
    """
    figure, axes = new_axes()
    label, factor = QUANTITIES[budget.quantity]

    def place(score: Score) -> tuple[float, float]:
        return factor * float(getattr(score, budget.quantity)), score.loss

    for inside, color, name in (
        (True, COLORS[0], "within budget"),
        (False, "#bbbbbb", "over budget"),
    ):
        points = [
            place(e.score) for e in history if e.feasible is inside and e.final and _is_finite(e)
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=16, color=color, alpha=0.45, linewidths=0, label=name)
    front = [place(score) for _, score in pareto_front(history, budget.quantity)]
    if front:
        x, y = zip(*front, strict=True)
        axes.step(x, y, where="post", color=COLORS[1], linewidth=1.4, label="Pareto front")
    if "uniform" in references:
        at = place(references["uniform"])
        axes.plot(*at, "s", color="#333333", markersize=7, label="uniform bits")
    best = _best(history)
    if best is not None:
        at = place(best.score)
        axes.plot(*at, "*", color=COLORS[1], markersize=16, markeredgecolor="w", label="best found")
    axes.axvline(factor * budget.limit, color="#333333", linewidth=1.0, label="budget")
    _references(axes, {k: s for k, s in references.items() if k == "float"})
    axes.set_xlabel(label)
    _loss_axis(axes)
    axes.legend(**LEGEND)
    axes.set_title(f"{len(history)} evaluations, budget {budget}")
    return figure


@own_style()
def layers_figure(
    config: QuantizationConfig, layers: Sequence[LayerFacts], space: SearchSpace
) -> Figure:
    """Draw the bits of each layer; where the space asks more than bits, that is written beside.

    Args:
        config: what was chosen.
        layers: the searched layers in execution order, first on top.
        space: says which decisions were asked.
    """
    figure, axes = new_axes(height=max(2.6, 1.3 + 0.28 * len(layers)))
    choices = [config[facts.name] for facts in layers]
    rows = np.arange(len(layers))
    bits = [choice.bits for choice in choices]
    widths = sorted({*space.bits, *bits})
    shades = [0.3 + 0.65 * widths.index(b) / max(1, len(widths) - 1) for b in bits]
    axes.barh(rows, bits, color=[(0.0, 0.447, 0.698, shade) for shade in shades], height=0.72)
    asked = [head.name for head in space.heads if head.name != "bits"]
    for row, choice in zip(rows, choices, strict=True):
        said = set(asked) & set(choice.decided)
        others = [_words(head, getattr(choice, head)) for head in HEADS if head in said]
        text = "  ".join([str(choice.bits), *others])
        axes.annotate(
            text, (choice.bits, row), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=8,
        )  # fmt: skip
    names = [f"{facts.name or 'network'}  ({facts.parameters:,})" for facts in layers]
    axes.set_yticks(rows, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max(widths) * (1.12 if not asked else 1.12 + 0.25 * len(asked)))
    axes.set_xticks(widths)
    axes.set_xlabel("bits per weight code")
    axes.set_ylabel("layer in execution order (weights)")
    axes.grid(axis="y", visible=False)
    axes.set_title("Bits of each layer")
    return figure


@own_style()
def search_figure(history: Sequence[Evaluation], references: Mapping[str, Score]) -> Figure:
    """Draw every evaluation's loss and the best so far against the number of evaluations.

    Args:
        history: the evaluations of a search.
        references: scores to compare with, by name ("float", "uniform").
    """
    figure, axes = new_axes()
    inside = [e for e in history if e.candidate and _is_finite(e)]
    axes.scatter(
        [e.number for e in inside],
        [e.score.loss for e in inside],
        s=14,
        color=COLORS[0],
        alpha=0.45,
        linewidths=0,
        label="evaluation within budget",
    )
    curve = best_losses(history)
    axes.step(
        np.arange(1, len(curve) + 1),
        curve,
        where="post",
        color=COLORS[1],
        linewidth=1.8,
        label="best so far",
    )
    _references(axes, references)
    evaluations_axis(axes)
    _loss_axis(axes)
    axes.legend(**LEGEND)
    axes.set_title("Best validation loss against evaluations")
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
    _references(axes, references)
    evaluations_axis(axes)
    _show_ends(axes, curves, references)
    _loss_axis(axes)
    axes.legend(**LEGEND, loc="upper right")
    axes.set_title(title or "Best validation loss within budget")
    return figure


def _median_and_range(stack: Stack) -> tuple[Curve, Curve, Curve]:
    return np.median(stack, axis=0), stack.min(axis=0), stack.max(axis=0)


@own_style()
def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, its texts as they are: names are no formulas of TeX."""
    stream = io.BytesIO()
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a name: a box is drawn
        for axes in figure.axes:
            _print_labels(axes.xaxis)
            _print_labels(axes.yaxis)
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
            text.set_text(printable(text.get_text(), lines=True))
        figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


def _print_labels(axis: Axis) -> None:
    """Have names at ticks, which are made when they are drawn, printed as other texts are."""
    made = axis.get_major_formatter()
    if isinstance(made, FuncFormatter):
        label = made.func
        axis.set_major_formatter(FuncFormatter(lambda x, place: printable(label(x, place))))


def _best(history: Sequence[Evaluation]) -> Evaluation | None:
    feasible = [e for e in history if e.candidate]
    return max(feasible, key=lambda e: e.value, default=None)


def _references(axes: Axes, references: Mapping[str, Score]) -> None:
    for name, score in references.items():
        color, dashes = REFERENCE_LINES.get(name, ("#888888", (0, (3, 2))))
        bits = "" if name == "float" else f" at {score.average_bits:.2f} bits"
        label = f"{name}{bits}: {score.loss:.3g}"
        axes.axhline(score.loss, color=color, linestyle=dashes, linewidth=1.1, label=label)


def _loss_axis(axes: Axes) -> None:
    """Set a logarithmic loss axis with plain numbers, where all that is drawn is positive."""
    axes.set_ylabel(LOSS)
    if axes.dataLim.y0 <= 0:
        return
    axes.set_ylabel(f"{LOSS}, log scale")
    limits = axes.get_ylim()
    axes.set_yscale("log")
    low, high = axes.get_ylim() if limits[0] <= 0 else limits
    plain_numbers(axes.yaxis, low, high, most=8, subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


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


def _is_finite(evaluation: Evaluation) -> bool:
    return math.isfinite(evaluation.score.loss)


def _words(head: str, value: object) -> str:
    if head == "activation_bits":
        return "float inputs" if value is None else f"{value}-bit inputs"
    return str(value)
