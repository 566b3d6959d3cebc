"""The rules of a layerwise environment for many episodes at once, all at the same layer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant import TabularProblem
from rlquant.cost.feasible import Indices
from rlquant_envs.action_table import ActionTable
from rlquant_envs.observation import (
    AVERAGE_ROOM_AT,
    BUDGET_LEFT_AT,
    ROOM_AT,
    Observation,
    Observer,
)

Units = npt.NDArray[np.float64]
"""Units spent or left by episode; whole, and exact as far as a table's costs go."""
Mask = npt.NDArray[np.bool_]


class BatchRules:
    """Observations, masks and repairs of many episodes, equal to those of a single one.

    Args:
        problem: layers, space and budget.
        table: what actions mean.
    """

    def __init__(self, problem: TabularProblem, table: ActionTable) -> None:
        self.problem, self._table = problem, table
        feasible = problem.feasible
        self.costs: Units = feasible.costs.astype(np.float64)
        self.fixed = float(feasible.cost.fixed)
        self._sorted: Units = np.sort(self.costs, axis=1)
        self._may_spend = [float(feasible.limit - rest) for rest in feasible.rest.tolist()]
        self._observer = Observer(problem)
        self._remember_layers()

    def _remember_layers(self) -> None:
        """Keep what depends on the layer alone, made when a layer is first reached."""
        self.masks = cache(self._masks)
        self.repairs = cache(self._repairs)
        self._rows = cache(self._observation_rows)

    def __getstate__(self) -> dict[str, Any]:
        remembered = {"masks", "repairs", "_rows"}
        return {name: value for name, value in self.__dict__.items() if name not in remembered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember_layers()

    def affordable(self, layer: int, spent: Units) -> Indices:
        """Return how many options of a layer fit, shape `(n,)`; it says which: the cheapest."""
        left = self._may_spend[layer + 1] - spent
        return np.searchsorted(self._sorted[layer], left, side="right")

    def observe(self, layer: int, spent: Units, last: Indices) -> Observation:
        """Return the observations before a layer, shape `(n, features)`, always a new array.

        Args:
            layer: in `[0, layers]`.
            spent: shape `(n,)`.
            last: options executed at the layer before, shape `(n,)`; at the first they mean
                nothing.
        """
        features: Observation = self._rows(layer).take(last, axis=0)
        observer = self._observer
        left = np.maximum(0.0, self._may_spend[layer] - spent)
        budget_left = np.minimum(1.0, left / observer.room)
        features[:, BUDGET_LEFT_AT] = budget_left
        whole = observer.excess_rest[layer]
        features[:, ROOM_AT] = np.minimum(1.0, left / whole) if whole > 0 else 1.0
        features[:, AVERAGE_ROOM_AT] = np.minimum(
            1.0, budget_left / observer.twice_weight_rest[layer]
        )
        return features

    def _observation_rows(self, layer: int) -> Observation:
        """Return what observations hold whatever was spent, by option of the layer before."""
        actions = [tuple(action) if layer else None for action in self._table.action_of.tolist()]
        return np.stack([self._observer.template(layer, action) for action in actions])

    def _masks(self, layer: int) -> Mask:
        """Return the flat mask for every number of affordable options, shape `(options + 1, m)`."""
        return np.stack([self._table.mask(fits) for fits in self._fitting(layer)])

    def _fitting(self, layer: int) -> Mask:
        """Return which options fit where so many do, shape `(options + 1, options)`."""
        counts = np.searchsorted(self._sorted[layer], self.costs[layer], side="right")
        fits: Mask = counts <= np.arange(len(counts) + 1)[:, None]
        return fits

    def _repairs(self, layer: int) -> Indices:
        """Return the executed option by number of affordable ones and wanted option.

        As `FeasibleSet.nearest` chooses it, shape `(options + 1, options)`; the row for none is
        never asked for, as the cheapest option always fits.
        """
        feasible = self.problem.feasible
        fitting = self._fitting(layer)
        executed = np.empty(fitting.shape, dtype=np.int64)
        for option, distances in enumerate(feasible.distance):
            order = np.lexsort((-feasible.costs[layer], distances))
            nearest = order[fitting[:, order].argmax(axis=1)]
            executed[:, option] = np.where(fitting[:, option], option, nearest)
        return executed
