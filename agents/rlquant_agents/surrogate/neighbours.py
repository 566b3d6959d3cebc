"""Configurations near another one."""

from __future__ import annotations

import numpy as np

from rlquant.cost.feasible import Indices


def changed_once(base: Indices, options: int) -> Indices:
    """Return all rows that differ from `base` in one layer, and `base` itself, `(n, layers)`."""
    layers = len(base)
    rows = np.tile(base, (layers * options, 1))
    rows[np.arange(len(rows)), np.repeat(np.arange(layers), options)] = np.tile(
        np.arange(options), layers
    )
    return rows


def changed_twice(
    base: Indices, options: int, count: int, generator: np.random.Generator
) -> Indices:
    """Return rows that differ from `base` in at most two layers, drawn, `(count, layers)`."""
    rows = np.tile(base, (count, 1))
    for _ in range(2):
        layers = generator.integers(len(base), size=count)
        rows[np.arange(count), layers] = generator.integers(options, size=count)
    return rows
