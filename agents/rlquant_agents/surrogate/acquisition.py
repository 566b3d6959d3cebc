"""Batch acquisition: choose the next configurations to evaluate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rlquant.cost.feasible import Indices
from rlquant_agents.surrogate.landscape import Landscape, expected_improvement

Floats = npt.NDArray[np.float64]


class Improvement:
    """What measuring a row is expected to be worth, under one limit or several.

    The mean over the limits of the expected improvement on the best damage within each; what does
    not keep a limit improves nothing there. Over many limits that is the expected growth of the
    area that a front dominates (Emmerich et al. 2006).

    Args:
        limits: in units, shape `(m,)`.
        bests: the least damages known within them, shape `(m,)`.
        spent: returns what rows cost, in units.
    """

    def __init__(self, limits: Floats, bests: Floats, spent: Callable[[Indices], Indices]) -> None:
        self._limits, self._bests, self._spent = limits, bests, spent

    def __call__(self, rows: Indices, expected: Floats, deviation: Floats) -> Floats:
        """Return the worth of each row, shape `(n,)`."""
        gained = expected_improvement(expected[:, None], deviation[:, None], self._bests)
        kept = self._spent(rows)[:, None] <= self._limits
        found: Floats = (gained * kept).mean(axis=1)
        return found


class Hope:
    """By how much a row may be better than the best: predictions less some deviations.

    What a search that has come to rest looks at as well: expected improvements are as sure of
    themselves as the landscape is, and where that is wrong they never find out (Srinivas et al.
    2010, whose bound grows with time for that reason).

    Args:
        limit: in units; what does not keep it is worth nothing.
        spent: returns what rows cost, in units.
        deviations: how many.
    """

    def __init__(
        self, limit: float, spent: Callable[[Indices], Indices], deviations: float
    ) -> None:
        self._limit, self._spent, self._deviations = limit, spent, deviations

    def __call__(self, rows: Indices, expected: Floats, deviation: Floats) -> Floats:
        """Return the worth of each row, shape `(n,)`."""
        hoped = self._deviations * deviation - expected
        return np.where(self._spent(rows) <= self._limit, hoped, -np.inf)


Worth = Callable[[Indices, Floats, Floats], Floats]
"""What measuring rows is worth, from their expected damages and deviations."""


def most_promising(rows: Indices, count: int, landscape: Landscape, worth: Worth) -> Indices:
    """Return the rows that are worth most, one after the other.

    After each choice its prediction is believed, so that the next is not its twin (kriging
    believer, Ginsbourger et al. 2010).

    Args:
        rows: what there is to choose from, shape `(n, layers)`.
        count: how many to return, fewer where there are not so many.
        landscape: predicts; what it believes is forgotten when it next learns.
        worth: what they are worth.
    """
    chosen: list[Indices] = []
    left = rows
    while len(chosen) < count and len(left):
        first = int(worth(left, *landscape.predict(left)).argmax())
        chosen.append(left[first])
        left = np.delete(left, first, axis=0)
        if len(chosen) < count and len(left):
            landscape.believe(chosen[-1][None, :])
    return np.array(chosen, dtype=np.int64).reshape(-1, rows.shape[1])
