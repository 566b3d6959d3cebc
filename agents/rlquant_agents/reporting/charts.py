"""Losses in pictures: the Pareto front, and the best loss against evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rlquant import Score
from rlquant_agents.reporting.drawing import (
    BOTTOM,
    COLORS,
    DASHED,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    Mark,
    Point,
    axes,
    chart,
    dots_mark,
    framed,
    key,
    line_mark,
    path,
    square,
    star,
    steps,
)
from rlquant_agents.reporting.markup import Markup
from rlquant_agents.reporting.measured import Measured
from rlquant_agents.reporting.quantities import QUANTITIES
from rlquant_agents.reporting.run_files import RunFiles
from rlquant_agents.reporting.scales import Scale, scale_of
from rlquant_agents.reporting.words import decimal
from rlquant_agents.search.curves import Curve

LOSS = "validation loss (mean per sample)"
EVALUATIONS = "evaluations (distinct configurations measured)"
PARETO_TITLE, CURVE_TITLE = "Loss against what the budget limits", "Best loss against evaluations"
FLOAT_DASHES, UNIFORM_DASHES = "9 5", "2 3"


def pareto_chart(run: RunFiles) -> Markup:
    """Draw loss against what the budget limits: all evaluations, the front, the best, the limit."""
    label, factor = QUANTITIES[run.quantity]
    seen = [e for e in run.evaluations if e.final and math.isfinite(e.loss)]
    front = pareto_front(seen)
    best, scores = run.outcome.score, run.references
    placed = [best, *(score for name, score in scores.items() if name != "float")]
    costs = [run.limit, *(e.cost for e in seen), *(_cost(run, score) for score in placed)]
    x = scale_of([factor * cost for cost in costs], LEFT, RIGHT)
    y = _loss_scale([best.loss, *(e.loss for e in seen), *(s.loss for s in scores.values())])

    def at(cost: float, loss: float) -> Point:
        return x.place(factor * cost), y.place(loss)

    outside = [at(e.cost, e.loss) for e in seen if not e.feasible]
    limit = x.place(factor * run.limit)
    marks = [
        *([dots_mark(outside, "over the budget", "grey")] if outside else []),
        dots_mark([at(e.cost, e.loss) for e in seen if e.feasible], "within the budget", "c0"),
        *_front_mark([at(e.cost, e.loss) for e in front]),
        Mark(
            path([(limit, TOP), (limit, BOTTOM)], "rule ink"),
            key("budget", path([(18, 0), (18, 16)], "rule ink")),
        ),
        _across(y, "float", scores["float"], FLOAT_DASHES),
    ]
    for name, score in scores.items():
        if name != "float" and math.isfinite(score.loss):
            drawn = square(at(_cost(run, score), score.loss), "solid-ink")
            marks.append(Mark(drawn, key(_with_loss(name, score), square((18, 8), "solid-ink"))))
    if math.isfinite(best.loss):
        drawn = star(at(_cost(run, best), best.loss), "solid1")
        marks.append(Mark(drawn, key(_with_loss("delivered", best), star((18, 8), "solid1", 8))))
    told = (
        f"{len(seen)} evaluations with a finite loss, {len(front)} of them on the front of loss "
        f"and {label}. {_with_loss('Delivered', best)}."
    )
    frame = axes(x, y, label, _loss_label(y))
    drawn = chart("pareto", PARETO_TITLE, told, HEIGHT, frame, *(mark.drawn for mark in marks))
    return framed(drawn, PARETO_TITLE, marks)


def curve_chart(runs: Mapping[str, RunFiles]) -> Markup:
    """Draw the best loss so far of one or more runs against evaluations.

    Args:
        runs: by name, the one that is reported first; its single evaluations are drawn too.
    """
    own, run = next(iter(runs.items()))
    scores = run.references
    numbered = enumerate(run.evaluations, start=1)
    seen = [(n, e.loss) for n, e in numbered if e.candidate and math.isfinite(e.loss)]
    curves = {name: each.curve for name, each in runs.items()}
    x = scale_of([1, *map(len, curves.values())], LEFT, RIGHT)
    losses = [loss for curve in curves.values() for loss in curve.tolist()]
    y = _loss_scale([*losses, *(loss for _, loss in seen), *(s.loss for s in scores.values())])
    lines = [
        _curve_mark(name, curve, index, x, y) for index, (name, curve) in enumerate(curves.items())
    ]
    points = [(x.place(number), y.place(loss)) for number, loss in seen]
    marks = [
        dots_mark(points, f"one evaluation of {own}", "grey"),
        *(
            _across(y, name, score, FLOAT_DASHES if name == "float" else UNIFORM_DASHES)
            for name, score in scores.items()
        ),
        *reversed(lines),  # the run that is reported lies on top
    ]
    told = "; ".join(
        f"{name}: {_last(curve)} after {len(curve)} evaluations" for name, curve in curves.items()
    )
    frame = axes(x, y, EVALUATIONS, _loss_label(y))
    drawn = chart("curve", CURVE_TITLE, told, HEIGHT, frame, *(mark.drawn for mark in marks))
    return framed(drawn, CURVE_TITLE, reversed(marks))


def pareto_front(measured: Sequence[Measured]) -> list[Measured]:
    """Return the evaluations that none beats in both loss and cost, cheapest first."""
    front: list[Measured] = []
    for each in sorted(measured, key=lambda e: (e.cost, e.loss)):
        if not front or each.loss < front[-1].loss:
            front.append(each)
    return front


def _cost(run: RunFiles, score: Score) -> float:
    return float(getattr(score, run.quantity))


def _loss_scale(losses: Sequence[float]) -> Scale:
    return scale_of(losses, BOTTOM, TOP, log=True)


def _loss_label(y: Scale) -> str:
    return f"{LOSS}, log scale" if y.log else LOSS


def _with_loss(name: str, score: Score) -> str:
    return f"{name}: loss {decimal(score.loss)}"


def _front_mark(points: Sequence[Point]) -> list[Mark]:
    return [line_mark(steps(points, "line c1"), "Pareto front", "line c1")] if points else []


def _across(y: Scale, name: str, score: Score, dashes: str) -> Mark:
    """Return a line at the height of a reference."""
    at = y.place(score.loss)
    ends = [(LEFT, at), (RIGHT, at)]
    drawn = path(ends, "rule ink", dashes) if math.isfinite(score.loss) else Markup()
    return line_mark(drawn, _with_loss(name, score), "rule ink", dashes)


def _curve_mark(name: str, curve: Curve, index: int, x: Scale, y: Scale) -> Mark:
    """Return the line of a run; what is not finite is left out."""
    style, dashes = f"line c{(index + 1) % COLORS}", DASHED if index >= COLORS else ""
    finite = [(n, loss) for n, loss in enumerate(curve.tolist(), start=1) if math.isfinite(loss)]
    turns = [p for i, p in enumerate(finite) if i == 0 or p[1] != finite[i - 1][1]]
    points = [(x.place(n), y.place(loss)) for n, loss in [*turns, *finite[-1:]]]
    drawn = steps(points, style, dashes) if points else Markup()
    return line_mark(drawn, f"best of {name}: {_last(curve)}", style, dashes)


def _last(curve: Curve) -> str:
    return f"loss {decimal(float(curve[-1]))}" if len(curve) else "nothing"
