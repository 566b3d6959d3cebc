"""Options of a layer as one number in [0, 1]: their rank by cost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rlquant.cost.feasible import Indices

Numbers = npt.NDArray[np.float64]
"""One in [0, 1] for each layer."""


class CostRanks:
    """Numbers in [0, 1] as options, layer by layer: 0 the cheapest, 1 the most expensive.

    Args:
        costs: shape `(layers, options)`.
    """

    def __init__(self, costs: Indices) -> None:
        self._layers, self.options = np.arange(len(costs)), costs.shape[1]
        self.by_cost = np.argsort(costs, axis=1, kind="stable")
        self._rank = np.argsort(self.by_cost, axis=1, kind="stable")

    def rank_of(self, numbers: npt.ArrayLike) -> Indices:
        """Return the ranks that numbers stand for."""
        ranks = (np.asarray(numbers) * self.options).astype(np.int64)
        found: Indices = np.minimum(ranks, self.options - 1)
        return found

    def middles(self, indices: Indices) -> Numbers:
        """Return the middle of the range that stands for each layer's option."""
        found: Numbers = (self._rank[self._layers, indices] + 0.5) / self.options
        return found
