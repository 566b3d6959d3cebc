"""Hypervolume of the front that a search has found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlquant import Score
from rlquant.errors import DataError, SettingsError
from rlquant.problem.protocol import Complete
from rlquant.score import log_loss

Points = npt.NDArray[np.float64]
"""Cost and log of the loss of each configuration, shape `(n, 2)`."""


def relative_hypervolume(
    problem: Complete, found: Sequence[Score], between: tuple[float, float] | None = None
) -> float:
    """Return the area that a front dominates over that of the table's own: 1 is the whole front.

    The plane is that of the budget's quantity and the log of the loss. The reference point is the
    same for all searches: what the front's most expensive configuration costs, and the loss of its
    cheapest one. What lies beyond it on either axis adds nothing. Between two budgets, what is
    cheaper than the smaller one counts as if it cost as much, and what costs more than the larger
    one adds nothing.

    Args:
        problem: the table, under any budget of the quantity: the front is that of the whole table.
        found: scores, e.g. those of `SearchResult.pareto`; dominated ones and repetitions do no
            harm.
        between: the smaller and the larger budget; by default all the front.

    Raises:
        DataError: the table's front has no area.
        SettingsError: moocore is not installed.
    """
    quantity = problem.budget.quantity
    front = points_of([score for _, score in problem.pareto()], quantity)
    reference = reference_point(front)
    smallest = 0.0 if between is None else between[0]
    if between is not None:
        reference[0] = between[1]
    whole = hypervolume(at_least(front, smallest), reference)
    if not whole > 0:
        raise DataError(
            f"{problem.name}: its front of {len(front)} has no area to compare with; "
            f"use another quantity than {quantity}"
        )
    points = points_of(found, quantity)
    return hypervolume(at_least(points, smallest), reference) / whole


def at_least(points: Points, cost: float) -> Points:
    """Return the points with costs below one raised to it."""
    raised: Points = np.maximum(points, [cost, -np.inf])
    return raised


def points_of(scores: Sequence[Score], quantity: str) -> Points:
    """Return what each score costs and the log of its loss; losses are cut off at both ends."""
    rows = [(getattr(score, quantity), log_loss(score.loss)) for score in scores]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def reference_point(front: Points) -> Points:
    """Return the largest cost on a front and the largest log of the loss, shape `(2,)`."""
    found: Points = front.max(axis=0)
    return found


def hypervolume(points: Points, reference: Points) -> float:
    """Return the area between points and a reference point, both to be small.

    Computed by moocore. Source: Fonseca, Paquete and Lopez-Ibanez 2006, "An improved
    dimension-sweep algorithm for the hypervolume indicator".

    Raises:
        SettingsError: moocore is not installed.
    """
    try:
        import moocore
    except ImportError as error:
        raise SettingsError(
            "hypervolumes need moocore; install it with: pip install 'rlquant[experiments]'"
        ) from error
    inside = points[(points < reference).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0
