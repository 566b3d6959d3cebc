"""Least-squares fit of one effect per layer and option to a complete table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from rlquant.cost.feasible import Indices

Floats = npt.NDArray[np.float64]

SMALLEST_EIGENVALUE = 1e-10
"""Directions of the design below this share of the largest are none: options that go together."""


def additive_share(parts: Iterable[tuple[Indices, Floats]], options: int) -> float:
    """Return the share of the variance that a sum over the layers explains, by least squares.

    It is exact for the configurations given and nothing is estimated: with fewer of them than
    effects it is 1.

    Args:
        parts: pairs of option indices, shape `(n, layers)`, and values, shape `(n,)`, finite;
            together all configurations. Cut so that a part fits in memory.
        options: how many each layer has.

    Returns:
        0 to 1; NaN where all values are the same, or there are none.
    """
    moments = _Moments()
    for rows, values in parts:
        if len(values):
            moments.add(rows, values, options)
    return moments.share()


class _Moments:
    """Sums over configurations: of the one-hot design, of the values, and of their products."""

    def __init__(self) -> None:
        self.count = 0
        self.origin = 0.0  # the first value: subtracted from all, so that squares stay small
        self.values = 0.0
        self.squares = 0.0
        self.design: Floats = np.zeros(0)
        self.products: Floats = np.zeros(0)
        self.gram: Floats = np.zeros((0, 0))

    def add(self, rows: Indices, values: Floats, options: int) -> None:
        """Add some configurations."""
        count, layers = rows.shape
        if not self.count:
            size = layers * options
            self.origin = float(values[0])
            self.design, self.products = np.zeros(size), np.zeros(size)
            self.gram = np.zeros((size, size))
        columns = rows + options * np.arange(layers)
        ones = np.ones(count * layers)
        starts = np.arange(0, count * layers + 1, layers)
        shape = (count, layers * options)
        design = csr_array((ones, columns.reshape(-1), starts), shape=shape)
        shifted = values - self.origin
        self.count += count
        self.values += float(shifted.sum())
        self.squares += float(shifted @ shifted)
        self.design += design.sum(axis=0)
        self.products += design.T @ shifted
        self.gram += (design.T @ design).toarray()

    def share(self) -> float:
        """Return what least squares explain."""
        if not self.count:
            return float("nan")
        variation = self.squares - self.values**2 / self.count
        if variation <= 1e-12 * self.squares or variation <= 0:
            return float("nan")
        gram = self.gram - np.outer(self.design, self.design) / self.count
        products = self.products - self.design * (self.values / self.count)
        effects = np.linalg.lstsq(gram, products, rcond=SMALLEST_EIGENVALUE)[0]
        return float(np.clip(effects @ products / variation, 0.0, 1.0))
