"""The covariance of two configurations, by the bits and other decisions of their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant import LayerChoice
from rlquant.config import decisions_apart
from rlquant.cost.feasible import Indices

Floats = npt.NDArray[np.float64]

FADINGS = ((0.0, 1.0), (0.0, 2.5), (0.5, 0.4), (0.5, 1.0), (1.0, 0.4), (1.0, 1.0))
"""How alike options are by their bits b: pairs of a rate r and a width w. Bits count as
2**(-r (b - 2)), or as they are where r is 0; differences of w are far."""
KEPT = (0.6, 0.9)
"""What each other decision that differs (rounding, method, ...) leaves of the likeness."""
MIXTURES = ((1.0, 0.0, 0.0), (0.6, 0.4, 0.0), (0.4, 0.3, 0.3))
"""Shares of single layers, of pairs, and of all layers together."""
NOISES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Variances of what is no function of these kinds."""
LEVELS = (0.0, 0.3, 1.0, 3.0)
"""Variances of the function of the log of all weight errors' sum."""
FACTORS = (0.4, 2.5)
LEAST_WEIGHT, MOST_WEIGHT = 0.05, 20.0
"""By what a layer's weight changes, and its limits."""
WEIGHT_GAIN = 0.5
"""What another weight must gain in log likelihood: there are many layers."""


@dataclass(frozen=True)
class Shape:
    """What the likelihood chooses: numbers of rows of the tables above, and layers' weights."""

    likeness: int
    mixture: int
    level: int
    noise_level: int
    weights: tuple[float, ...]

    @classmethod
    def plain(cls, layers: int) -> Shape:
        """Return where the choice begins."""
        return cls(0, 1, 3, 2, (1.0,) * layers)

    @property
    def noise(self) -> float:
        """The variance of what is no function."""
        return NOISES[self.noise_level]


Change = Callable[[Shape], Shape]
"""Makes another shape of one."""


class Kernel:
    """Likenesses of configurations, as matrix products of one-hot rows.

    Args:
        errors: relative weight errors, shape `(layers, options)`.
        options: the canonical options of a layer.
    """

    def __init__(self, errors: Floats, options: Sequence[LayerChoice]) -> None:
        self._errors = errors
        self.layers, self.options = errors.shape
        bits = np.array([option.arithmetic_bits for option in options], dtype=float)
        differing = np.array([[decisions_apart(a, b) for b in options] for a in options])
        kept = KEPT if differing.any() else (1.0,)
        self._likenesses = [
            _near(bits, rate, width) * share**differing
            for (rate, width), share in product(FADINGS, kept)
        ]

    def between(self, shape: Shape, a: Indices, b: Indices) -> Floats:
        """Return the likeness of every row of `a` and every row of `b`, shape `(n, m)`."""
        like = self._likenesses[shape.likeness]
        weights = np.array(shape.weights)
        total = weights.sum()
        columns = self._one_hot(b).T
        single = self._rows(like, a, weights) @ columns
        alone, pairs, together = MIXTURES[shape.mixture]
        found = alone * single / total
        if pairs and self.layers > 1:
            squares = self._rows(like**2, a, weights**2) @ columns
            found += pairs * (single**2 - squares) / max(total**2 - (weights**2).sum(), 1e-12)
        if together:
            found += together * np.exp(self._rows(np.log(like), a) @ columns)
        level = LEVELS[shape.level]
        if level:
            apart = np.subtract.outer(self._level(a), self._level(b))
            found += level * np.exp(-0.5 * apart**2)
        result: Floats = found + 1.0  # the mean is unknown
        return result

    def variance(self, shape: Shape) -> float:
        """Return the likeness of a configuration to itself."""
        alone, pairs, together = MIXTURES[shape.mixture]
        several = pairs if self.layers > 1 else 0.0
        return float(alone + several + together + LEVELS[shape.level] + 1.0)

    def changes(self) -> Iterator[tuple[Change, float]]:
        """Yield the changes of a shape that are tried, each with what it must gain at the least."""
        for field, count in (
            ("likeness", len(self._likenesses)),
            ("mixture", len(MIXTURES)),
            ("level", len(LEVELS)),
            ("noise_level", len(NOISES)),
        ):
            for i in range(count):
                yield partial(_with, field=field, value=i), 0.0
        layers = range(self.layers) if self.layers > 1 else ()  # one weight alone is no choice
        for layer, factor in product(layers, FACTORS):
            yield partial(_weighted, layer=layer, factor=factor), WEIGHT_GAIN

    def _level(self, rows: Indices) -> Floats:
        found: Floats = np.log(self._errors[np.arange(self.layers), rows].sum(axis=1))
        return found

    def _rows(self, table: Floats, rows: Indices, weights: Floats | None = None) -> Floats:
        found = table[rows]
        if weights is not None:
            found = found * weights[:, None]
        return found.reshape(len(rows), -1)

    def _one_hot(self, rows: Indices) -> Floats:
        found = np.zeros((len(rows), self.layers, self.options))
        np.put_along_axis(found, rows[:, :, None], 1.0, axis=2)
        return found.reshape(len(rows), -1)


def _near(bits: Floats, rate: float, width: float) -> Floats:
    counted = 2.0 ** (-rate * (bits - 2)) if rate else bits
    apart = np.subtract.outer(counted, counted)
    found: Floats = np.maximum(np.exp(-(apart**2) / (2 * width**2)), 1e-12)
    return found


def _with(shape: Shape, field: str, value: int) -> Shape:
    changed: dict[str, Any] = {field: value}
    return replace(shape, **changed)


def _weighted(shape: Shape, layer: int, factor: float) -> Shape:
    weights = list(shape.weights)
    weights[layer] = min(max(weights[layer] * factor, LEAST_WEIGHT), MOST_WEIGHT)
    return replace(shape, weights=tuple(weights))
