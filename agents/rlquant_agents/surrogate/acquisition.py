"""Batch acquisition: choose the next configurations to evaluate."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices
from rlquant_agents.surrogate.kernel import MANY_LAYERS
from rlquant_agents.surrogate.neighbours import feasible_neighbours, single_changes, swaps
from rlquant_agents.surrogate.observations import Observations
from rlquant_agents.surrogate.prediction import PredictsLogLoss

Floats = npt.NDArray[np.float64]

Acquisition = Callable[[Indices, Floats, Floats], Floats]
"""An acquisition function: rows, their expected log losses and deviations in; values out."""
Predict = Callable[[Indices], Floats]
"""Configurations in, shape `(n, layers)`; expected log losses out, smaller is better."""

FAR = -6.0
"""Standard deviations below which the expected improvement is taken from its expansion."""
COMPLETE = 300_000
"""Feasible sets of up to so many configurations are looked through; larger ones are descended."""
DESCENTS = 8
"""Descents from random configurations, beside the one from the best that is known."""
MOST_STEPS = 10
"""Of a descent with many layers; the next one goes on."""


class ExpectedImprovement:
    """The expected improvement of evaluating a row, under one limit or several.

    The mean over the limits of the expected improvement on the best log loss within each; what
    does not keep a limit improves nothing there. Over many limits that is the expected growth of
    the area that a front dominates (Emmerich et al. 2006).

    Args:
        limits: in units, shape `(m,)`.
        bests: the least log losses known within them, shape `(m,)`.
        spent: returns what rows cost, in units.
    """

    def __init__(self, limits: Floats, bests: Floats, spent: Callable[[Indices], Indices]) -> None:
        self._limits, self._bests, self._spent = limits, bests, spent

    def __call__(self, rows: Indices, expected: Floats, deviation: Floats) -> Floats:
        """Return the improvement of each row, shape `(n,)`."""
        gained = expected_improvement(expected[:, None], deviation[:, None], self._bests)
        kept = self._spent(rows)[:, None] <= self._limits
        found: Floats = (gained * kept).mean(axis=1)
        return found


class UpperConfidenceBound:
    """How good a row may be: minus its expected log loss, plus some standard deviations.

    Against stagnation: expected improvements are as sure of themselves as the surrogate is, and
    where that is wrong they never find out (Srinivas et al. 2010, whose bound grows with time for
    that reason).

    Args:
        limit: in units; the bound of a row that does not keep it is -inf.
        spent: returns what rows cost, in units.
        coefficient: how many standard deviations: the exploration coefficient.
    """

    def __init__(
        self, limit: float, spent: Callable[[Indices], Indices], coefficient: float
    ) -> None:
        self._limit, self._spent, self._coefficient = limit, spent, coefficient

    def __call__(self, rows: Indices, expected: Floats, deviation: Floats) -> Floats:
        """Return the bound of each row, shape `(n,)`."""
        bound = self._coefficient * deviation - expected
        return np.where(self._spent(rows) <= self._limit, bound, -np.inf)


def expected_improvement(expected: Floats, deviation: Floats, best: Floats | float) -> Floats:
    """Return by how much each is expected to be below the best log loss; shapes broadcast.

    Source: Mockus et al. 1978; Jones et al. 1998.
    """
    z = (best - expected) / deviation
    below = 0.5 * (1 + erf(z / np.sqrt(2)))
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # far below, the sum is a small difference of equal numbers, which rounding makes noise
    unit = np.where(z < FAR, density / np.maximum(z**2, 1.0), z * below + density)
    found: Floats = deviation * unit
    return found


def select_batch(
    rows: Indices, count: int, surrogate: PredictsLogLoss, acquisition: Acquisition
) -> Indices:
    """Return the rows of the largest acquisition values, one after the other.

    After each choice the surrogate is conditioned on its own prediction, so that the next is not
    its twin (kriging believer, Ginsbourger et al. 2010).

    Args:
        rows: the candidates, shape `(n, layers)`.
        count: how many to return, fewer where there are not so many.
        surrogate: predicts; what it is conditioned on is forgotten when it is next fitted.
        acquisition: what is maximised.
    """
    chosen: list[Indices] = []
    left = rows
    while len(chosen) < count and len(left):
        first = int(acquisition(left, *surrogate.predict(left)).argmax())
        chosen.append(left[first])
        left = np.delete(left, first, axis=0)
        if len(chosen) < count and len(left):
            surrogate.condition_on(chosen[-1][None, :])
    return np.array(chosen, dtype=np.int64).reshape(-1, rows.shape[1])


class BestPrediction:
    """Finds the feasible configuration of the least predicted log loss that is not known yet.

    A small feasible set is looked through. In a large one the prediction is descended, one or two
    layers at a time, from the given start and from random ones; with many layers from the start
    alone, by the changes that promise most.

    Args:
        feasible: costs and limit.
        observed: what is known.
        generator: draws starts and, where there are too many, neighbours.
    """

    def __init__(
        self, feasible: FeasibleSet, observed: Observations, generator: np.random.Generator
    ) -> None:
        self._feasible, self._observed, self._generator = feasible, observed, generator
        self._unknown = feasible.all_indices() if feasible.count() <= COMPLETE else None
        self._removed = 0
        self._taken: set[tuple[int, ...]] = set()

    def find_several(self, predict: Predict, start: Indices, count: int) -> list[Indices]:
        """Return the best predicted configurations, one after the other; fewer where none is left.

        Predictions stay as they are in between: none of what is returned has been measured.
        """
        found: list[Indices] = []
        while len(found) < count:
            row = self.find(predict, start)
            if row is None:
                break
            found.append(row)
            self._taken.add(tuple(row.tolist()))
        self._taken.clear()
        return found

    def find(self, predict: Predict, start: Indices) -> Indices | None:
        """Return the best predicted configuration that is not known; None where none is found."""
        if self._unknown is not None:
            unknown = self._without_known(self._unknown)
            for taken in self._taken:
                unknown = unknown[(unknown != taken).any(axis=1)]
            return unknown[predict(unknown).argmin()] if len(unknown) else None
        descents = 0 if len(self._feasible) > MANY_LAYERS else DESCENTS
        starts = [start, *(self._feasible.sample(self._generator) for _ in range(descents))]
        found = [row for row in (self._descend(predict, s) for s in starts) if row is not None]
        return found[predict(np.array(found)).argmin()] if found else None

    def _is_known(self, row: Indices) -> bool:
        return self._observed.is_known(row) or tuple(row.tolist()) in self._taken

    def _without_known(self, rows: Indices) -> Indices:
        for row in self._observed.asked[self._removed :]:
            rows = rows[(rows != row).any(axis=1)]
        self._unknown, self._removed = rows, len(self._observed.asked)
        return rows

    def _descend(self, predict: Predict, start: Indices) -> Indices | None:
        """Return the best new configuration that is seen on the way down from `start`."""
        rows = start[None]
        best, best_value, lowest = None, np.inf, np.inf
        for _ in itertools.count() if len(start) <= MANY_LAYERS else range(MOST_STEPS):
            values = predict(rows)
            for number in np.argsort(values, kind="stable"):
                if values[number] >= best_value:
                    break
                if not self._is_known(rows[number]):
                    best, best_value = rows[number], values[number]
                    break
            if values.min() >= lowest:
                return best
            base, lowest = rows[values.argmin()], values.min()
            rows = self._neighbours(predict, base)
            if not len(rows):
                return best
        return best

    def _neighbours(self, predict: Predict, base: Indices) -> Indices:
        if len(base) <= MANY_LAYERS:
            return feasible_neighbours(self._feasible, base, self._generator)
        losses = predict(single_changes(base, self._feasible.costs.shape[1]))
        return swaps(self._feasible, base, losses)
