"""Action masks and repairs of a layer, computed once for each number of affordable options."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from rlquant import FeasibleSet
from rlquant_envs.action_table import ActionTable


class Fitting:
    """Masks and repairs of a `FeasibleSet`, remembered: how many options fit says which do.

    Args:
        feasible: what fits the budget.
        table: what actions mean.
    """

    def __init__(self, feasible: FeasibleSet, table: ActionTable) -> None:
        self._feasible, self._table = feasible, table
        self.costs: list[list[int]] = feasible.costs.tolist()
        self._sorted = [sorted(row) for row in self.costs]
        # what may be spent once a layer is decided, so that the cheapest rest still fits
        self._may_spend = [feasible.limit - rest for rest in feasible.rest.tolist()[1:]]
        self._masks: dict[tuple[int, int], npt.NDArray[np.bool_]] = {}
        self._nearest: dict[tuple[int, int, int], int] = {}

    def nearest(self, layer: int, option: int, spent: int) -> int:
        """Return the option that is executed in place of `option`; itself where it fits.

        Args:
            layer: number of the layer.
            option: the canonical option that is wanted.
            spent: units of the layers decided so far, fixed part included.
        """
        left = self._may_spend[layer] - spent
        if self.costs[layer][option] <= left:
            return option
        key = layer, bisect_right(self._sorted[layer], left), option
        known = self._nearest.get(key)
        if known is None:
            known = self._nearest[key] = self._feasible.nearest(layer, option, spent)
        return known

    def mask(self, layer: int, spent: int) -> npt.NDArray[np.bool_]:
        """Return the flat mask, head after head, always a new array; arguments as above."""
        key = layer, bisect_right(self._sorted[layer], self._may_spend[layer] - spent)
        known = self._masks.get(key)
        if known is None:
            allowed = self._feasible.allowed(layer, spent)
            known = self._masks[key] = self._table.mask(allowed)
        return known.copy()
