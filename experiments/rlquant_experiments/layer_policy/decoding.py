"""Many knapsacks at once, by the price of a bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
STEPS = 40
"""Bisections of the logarithm of the price."""


def solve_by_prices(effects: Floats, costs: Floats, limit: float) -> Indices:
    """Return configurations within a budget whose sums of effects are least, up to a layer's step.

    As `solve_by_price`, without what fills the room that is left: for training, where thousands are
    solved.

    Args:
        effects: shape `(n, layers, options)`, above 0.
        costs: shape `(layers, options)`.
        limit: of the sum of the costs; the cheapest configuration keeps it.

    Returns:
        Option indices, shape `(n, layers)`.
    """
    count = len(effects)
    rows = np.arange(costs.shape[0])
    low = np.full(count, np.log(effects.min() / costs.max()) - 1.0)
    high = np.full(count, np.log(effects.max() / np.diff(np.unique(costs)).min()) + 1.0)
    answer: Indices = np.tile(costs.argmin(axis=1), (count, 1))
    for _ in range(STEPS):
        price = (low + high) / 2
        tried = (effects + np.exp(price)[:, None, None] * costs).argmin(axis=2)
        fits = costs[rows, tried].sum(axis=1) <= limit
        answer[fits] = tried[fits]
        low, high = np.where(fits, low, price), np.where(fits, price, high)
    return answer
