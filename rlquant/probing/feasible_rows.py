"""Vectors of option indices within a budget: all of them, or different ones at random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlquant.cost.feasible import FeasibleSet, Indices

PART = 200_000
"""At most so many vectors are looked at together."""
DRAWS_EACH = 20
"""Drawing ends after so many draws for each vector that was asked for."""


def every_row(feasible: FeasibleSet, part: int = PART) -> Iterator[Indices]:
    """Yield all vectors that keep the budget in parts of shape `(n, layers)`, the last layer first.

    Looks at every vector of a table's size, so that it is for spaces of up to some ten million.
    """
    layers, options = feasible.costs.shape
    strides = options ** np.arange(layers - 1, -1, -1, dtype=np.int64)
    for start in range(0, options**layers, part):
        numbers = np.arange(start, min(start + part, options**layers))
        rows = numbers[:, None] // strides % options
        spent = feasible.cost.fixed + feasible.costs[np.arange(layers), rows].sum(axis=1)
        yield rows[spent <= feasible.limit]


def different_rows(feasible: FeasibleSet, count: int, seed: int) -> tuple[Indices, bool]:
    """Return different vectors that keep the budget, and whether they are all there are.

    Args:
        feasible: what keeps the budget.
        count: how many, at most.
        seed: of the draws; each feasible vector is equally likely.

    Returns:
        Vectors, shape `(n, layers)`, sorted.
    """
    if feasible.count() <= count:
        found = feasible.all_indices()
        if len(found) <= count:
            return found, True
    generator = np.random.default_rng(seed)
    drawn: dict[tuple[int, ...], None] = {}
    for _ in range(DRAWS_EACH * count):
        drawn[tuple(feasible.sample(generator).tolist())] = None
        if len(drawn) == count:
            break
    return np.array(sorted(drawn), dtype=np.int64), False
