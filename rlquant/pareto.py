"""The Pareto front of costs and losses: the points that no other one beats in both."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def pareto_front(
    costs: npt.ArrayLike, losses: npt.ArrayLike, ties: npt.ArrayLike | None = None
) -> Indices:
    """Return the positions of the points on the front, cheapest first.

    A point is on the front where its loss is smaller than that of every point that costs as much
    or less. Of points equal in both, the one with the smallest `ties` is taken, and of these the
    first. Losses that are not finite are on no front.

    Args:
        costs: shape `(n,)`.
        losses: shape `(n,)`.
        ties: shape `(n,)`, such as bytes; all equal by default.

    >>> pareto_front([1, 2, 3, 3], [0.9, 0.9, 0.5, 0.4]).tolist()
    [0, 3]
    """
    costs, losses = np.asarray(costs), np.asarray(losses)
    finite = np.flatnonzero(np.isfinite(losses))
    keys = (losses, costs) if ties is None else (np.asarray(ties), losses, costs)
    order = finite[np.lexsort(tuple(key[finite] for key in keys))]
    best_so_far = np.minimum.accumulate(losses[order])
    better = np.diff(best_so_far, prepend=np.inf) < 0
    front: Indices = order[better]
    return front
