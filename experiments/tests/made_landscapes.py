"""Landscapes for tests: nothing is trained, losses follow a rule."""

from __future__ import annotations

import numpy as np

from rlquant_experiments.landscapes.landscape import Floats, Landscape

BITS = np.array([2.0, 3.0, 4.0, 8.0])


def made_landscape(
    layers: int = 5, seed: int = 0, *, rows: int = 30, factors: Floats | None = None
) -> Landscape:
    """Return a landscape whose losses are sums of increases, each times a factor.

    Args:
        layers: how many.
        seed: of increases and configurations.
        rows: configurations.
        factors: of the increases, shape `(layers, options)`; 1 by default.
    """
    draws = np.random.default_rng(seed)
    weights = draws.integers(100, 1000, size=layers).astype(np.float64)
    increases = np.exp(draws.standard_normal((layers, 1)) - 1.4 * BITS)
    true = increases * (1.0 if factors is None else factors)
    chosen = draws.integers(len(BITS), size=(rows, layers))
    costs = weights[:, None] * BITS
    facts = np.ones((layers, 15))
    facts[:, 0], facts[:, 2], facts[:, 6] = weights, 32.0, 3.0
    return Landscape(
        name=f"made-{seed}",
        family=f"family{seed % 2}",
        names=tuple(f"blocks.{i}.{'q_proj' if i % 2 else 'down_proj'}" for i in range(layers)),
        float_loss=0.0,
        limits=(int(3.0 * weights.sum()),),
        fixed=0,
        increases=increases,
        fisher=increases,
        weight_errors=np.tile(4.0**-BITS, (layers, 1)),
        costs=costs,
        own=np.ones_like(costs),
        layers=facts,
        options=np.column_stack([BITS, np.zeros(len(BITS))]),
        rows=chosen,
        losses=true[np.arange(layers), chosen].sum(axis=1),
        budgets=np.zeros(rows, dtype=np.int64),
    )
