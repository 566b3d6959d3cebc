"""The knapsack over the layers still to decide, if one-layer losses added up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rlquant import FeasibleSet
from rlquant_agents.surrogate.kernel import MANY_LAYERS

Floats = npt.NDArray[np.float64]

GRID = 2000
"""Levels that the room is rounded down to, from nothing to the most expensive configuration's."""


class KnapsackToGo:
    """The multiple-choice knapsack solved backwards, for every layer and every room that is left.

    An option's regret is what is lost by taking it and going on as well as can be: 0 for the best.

    Args:
        effects: log loss increase by layer and option, shape `(layers, options)`.
        feasible: has the costs.

    Source: Dudzinski and Walukiewicz 1987, "Exact methods for the knapsack problem and its
    generalizations".
    """

    def __init__(self, effects: Floats, feasible: FeasibleSet) -> None:
        costs = feasible.costs.astype(float)
        self.effects = effects - effects.min(axis=1, keepdims=True)
        self.excess = costs - costs.min(axis=1, keepdims=True)
        self._unit = max(1.0, float(self.excess.max(axis=1).sum()) / GRID)
        # half a level up for each of many layers would add up
        rounded = np.rint if len(costs) > MANY_LAYERS else np.ceil
        self._taken = taken = rounded(self.excess / self._unit - 1e-9).astype(np.int64)
        # backwards over the layers: values[i, r] is the least sum of effects of the layers from i
        # on, where r levels are left above their cheapest options
        levels = np.arange(GRID + 1)
        values = np.zeros((len(costs) + 1, GRID + 1))
        for layer in reversed(range(len(costs))):
            left = levels[:, None] - taken[layer]
            after = values[layer + 1].take(np.maximum(left, 0)) + self.effects[layer]
            values[layer] = np.where(left >= 0, after, np.inf).min(axis=1)
        self._values = values
        # a layer's average step from one option to the next, in levels; of the layers from one on
        # their mean
        steps = taken.max(axis=1) / max(1, costs.shape[1] - 1)
        count = np.arange(len(steps), 0, -1)
        self._step = np.maximum(1, np.rint(np.cumsum(steps[::-1])[::-1] / count)).astype(np.int64)

    def regrets(self, layer: int, room: Floats) -> tuple[Floats, Floats]:
        """Return the options' regrets and their increases, each shape `(n, options)`.

        Both over what one average step more or less of the budget changes; infinite regrets do not
        fit.

        Args:
            layer: to decide.
            room: units left above the cheapest options of this layer and those after, `(n,)`.
        """
        level = self._level(room)
        step = self._step[layer]
        here = self._values[layer]
        less, more = (
            here.take(np.maximum(level - step, 0)),
            here.take(np.minimum(level + step, GRID)),
        )
        # the price of a step of the budget: half the difference of the values one step below
        # and above; the rest keeps it above 0 where more room changes nothing
        unit = 0.5 * (less - more) + 1e-3 * self.effects[layer].mean() + 1e-12
        left = level[:, None] - self._taken[layer]
        after = self._values[layer + 1].take(np.maximum(left, 0)) + self.effects[layer]
        lost = np.where(left >= 0, after - here.take(level)[:, None], np.inf)
        return lost / unit[:, None], self.effects[layer] / unit[:, None]

    def value(self, layer: int, room: Floats) -> Floats:
        """Return the least sum of increases of the layers from one on, shape `(n,)`."""
        found: Floats = self._values[layer].take(self._level(room))
        return found

    def _level(self, room: Floats) -> npt.NDArray[np.int64]:
        return np.minimum(np.maximum(room, 0.0) / self._unit + 1e-9, GRID).astype(np.int64)
