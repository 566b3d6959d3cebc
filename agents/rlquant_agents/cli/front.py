"""The front of a search over a range of budgets: the best within each of some limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlquant import QuantizationProblem, Score
from rlquant.config import plain_name
from rlquant_agents.reporting.text import aligned
from rlquant_agents.reporting.words import count, decimal
from rlquant_agents.search.result import SearchResult

LIMITS = 12
"""Budgets between the smallest and the largest that the terminal shows."""


@dataclass(frozen=True)
class FrontPoint:
    """The best that is known within a limit.

    Attributes:
        limit: in units of the budget's quantity.
        score: of the best configuration of the search.
        uniform: of the best uniform one, None where none fits or none was measured.
    """

    limit: float
    score: Score
    uniform: Score | None


def front(
    found: SearchResult, uniform: SearchResult | None, quantity: str, lowest: float, highest: float
) -> list[FrontPoint]:
    """Return the best within each of `LIMITS` budgets at equal steps, where it is another.

    Args:
        found: the search over the range.
        uniform: of the searcher `uniform`, where it ran.
        quantity: that the budget limits.
        lowest: smallest limit.
        highest: largest limit.
    """
    points: list[FrontPoint] = []
    for limit in np.linspace(lowest, highest, LIMITS).tolist():
        score = _best_within(found, quantity, limit)
        reference = None if uniform is None else _best_within(uniform, quantity, limit)
        same = points and (points[-1].score, points[-1].uniform) == (score, reference)
        if score is not None and not same:
            points.append(FrontPoint(limit, score, reference))
    return points


def _best_within(result: SearchResult, quantity: str, limit: float) -> Score | None:
    scores = (e.score for e in result.history if e.final)
    within = [score for score in scores if getattr(score, quantity) <= limit]
    return min(within, key=lambda score: score.loss, default=None)


def front_text(points: Sequence[FrontPoint], name: str, problem: QuantizationProblem) -> str:
    """Return the front as a table for the terminal; `name` is the searcher's."""
    lines = [
        ("at most", name, "", "", "", "uniform", "", ""),
        ("", "bits", "bytes", "loss", "acc.", "bytes", "loss", "acc."),
        *map(_line, points),
    ]
    limited = plain_name(problem.budget.quantity)
    title = f"Best within each limit of {limited}, on the validation samples:"
    return "\n".join([title, "", *aligned(lines, 0)])


def _line(point: FrontPoint) -> tuple[str, ...]:
    ours = point.score
    return (
        f"{point.limit:.4g}",
        f"{ours.average_bits:.3f}",
        *_cells(ours),
        *(("", "", "") if point.uniform is None else _cells(point.uniform)),
    )


def _cells(score: Score) -> tuple[str, str, str]:
    return count(score.size_bytes), decimal(score.loss), decimal(score.accuracy)
