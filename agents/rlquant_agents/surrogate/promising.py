"""Which configuration a model would like best, among the feasible ones that are not known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices

Predict = Callable[[Indices], npt.NDArray[np.float64]]
"""Configurations in, shape `(n, layers)`; what is predicted of them out, smaller is better."""

COMPLETE = 300_000
"""Feasible sets of up to so many configurations are looked through; larger ones are descended."""
DESCENTS = 8
"""Descents from random configurations, beside the one from the best that is known."""
MOST_NEIGHBOURS = 20_000


class Promising:
    """Finds the best predicted configuration that is not known yet.

    A small feasible set is looked through. In a large one the prediction is descended, one or two
    layers at a time, from the given start and from random ones.

    Args:
        feasible: costs and limit.
        generator: draws starts and, where there are too many, neighbours.
    """

    def __init__(self, feasible: FeasibleSet, generator: np.random.Generator) -> None:
        self._feasible = feasible
        self._generator = generator
        self._known: set[tuple[int, ...]] = set()
        small = feasible.count() <= COMPLETE
        self._unknown = every_feasible(feasible) if small else None

    def forget(self, row: Indices) -> None:
        """Propose this one no more."""
        self._known.add(tuple(row.tolist()))
        if self._unknown is not None:
            self._unknown = self._unknown[(self._unknown != row).any(axis=1)]

    def best(self, predict: Predict, start: Indices) -> Indices | None:
        """Return the best predicted configuration that is not known; None where none is found."""
        if self._unknown is not None:
            return self._unknown[predict(self._unknown).argmin()] if len(self._unknown) else None
        starts = [start, *(self._feasible.sample(self._generator) for _ in range(DESCENTS))]
        found = [row for row in (self._descend(predict, s) for s in starts) if row is not None]
        return found[predict(np.array(found)).argmin()] if found else None

    def _descend(self, predict: Predict, place: Indices) -> Indices | None:
        """Return the best new configuration that is seen on the way down from `place`."""
        rows = place[None]
        best, best_height, lowest = None, np.inf, np.inf
        while True:
            heights = predict(rows)
            for number in np.argsort(heights, kind="stable"):
                if heights[number] >= best_height:
                    break
                if tuple(rows[number].tolist()) not in self._known:
                    best, best_height = rows[number], heights[number]
                    break
            if heights.min() >= lowest:
                return best
            place, lowest = rows[heights.argmin()], heights.min()
            rows = neighbours_of(self._feasible, place, self._generator)
            if not len(rows):
                return best


def every_feasible(feasible: FeasibleSet) -> Indices:
    """Return all configurations within the budget, shape `(n, layers)`; see that they are few."""
    rows = np.zeros((1, 0), dtype=np.int64)
    spent = np.array([feasible.cost.fixed], dtype=np.int64)
    for layer, costs in enumerate(feasible.costs):
        together = spent[:, None] + costs
        parent, option = np.nonzero(together + feasible.rest[layer + 1] <= feasible.limit)
        rows = np.concatenate([rows[parent], option[:, None]], axis=1)
        spent = together[parent, option]
    return rows


def neighbours_of(feasible: FeasibleSet, place: Indices, generator: np.random.Generator) -> Indices:
    """Return the feasible configurations one or two layers away, a random part of very many."""
    layers, options = feasible.costs.shape
    rows = np.arange(layers)
    extra = (feasible.costs - feasible.costs[rows, place][:, None]).reshape(-1)
    layer_of, option_of = np.divmod(np.arange(layers * options), options)
    moves = option_of != place[layer_of]
    # a pair of a move and a stay is a change of one layer; the stay is that of the same layer
    second = moves[None, :] & (layer_of[:, None] < layer_of[None, :])
    stay = ~moves[None, :] & (layer_of[:, None] == layer_of[None, :])
    room = feasible.limit - feasible.spent(place)
    fits = extra[:, None] + extra[None, :] <= room
    one, other = np.nonzero(moves[:, None] & (second | stay) & fits)
    if len(one) > MOST_NEIGHBOURS:
        chosen = generator.choice(len(one), MOST_NEIGHBOURS, replace=False)
        one, other = one[chosen], other[chosen]
    found = np.repeat(place[None], len(one), axis=0)
    number = np.arange(len(one))
    found[number, layer_of[other]] = option_of[other]
    found[number, layer_of[one]] = option_of[one]
    return found
