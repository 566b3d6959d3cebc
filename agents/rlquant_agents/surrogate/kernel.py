"""The covariance of two configurations: a sum over layers, over pairs of layers, and over all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant import LayerChoice
from rlquant.cost.feasible import Indices
from rlquant.layer_names import alike
from rlquant.probing.option_correlation import option_correlations

Floats = npt.NDArray[np.float64]

LENGTH_SCALES = ((0.0, 1.0), (0.0, 2.5), (0.5, 0.4), (0.5, 1.0), (1.0, 0.4), (1.0, 1.0))
DECISION_CORRELATIONS = (0.6, 0.9)
"""Hyperparameters of `option_correlations`."""
SMALLEST_CORRELATION = 1e-12
"""By bits, so that the product over all layers may be taken of logarithms."""
COMPONENTS = ((1.0, 0.0, 0.0), (0.6, 0.4, 0.0), (0.4, 0.3, 0.3))
"""Variances of the sums over single layers, over pairs, and of the product over all layers."""
ERROR_VARIANCES = (0.0, 0.3, 1.0, 3.0)
"""Variances of the function of the log of all weight errors' sum."""
NOISE_VARIANCES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Variances of what none of these functions explains."""
WEIGHT_FACTORS = (0.4, 2.5)
SMALLEST_WEIGHT, LARGEST_WEIGHT = 0.05, 20.0
"""By what a layer's weight changes, and its limits."""
WEIGHT_GAIN = 0.5
"""What another weight must gain in log likelihood: there are many layers."""
MEAN_VARIANCE = 1.0
"""Variance of the unknown mean."""
MANY_LAYERS = 32
"""Above so many layers, alike ones share a weight: evaluations are too few to tell them apart."""
MANY_ROWS = 512
"""Above so many rows of many layers, sums are made of what rows differ by."""


@dataclass(frozen=True)
class KernelHyperparameters:
    """What the marginal likelihood chooses: numbers of rows of the tables above, layers' weights.

    Attributes:
        correlation: of the matrices of `option_correlations`.
        components: of `COMPONENTS`.
        error_variance: of `ERROR_VARIANCES`.
        noise: of `NOISE_VARIANCES`.
        weights: variances of the layers' groups, each relative to the others.
    """

    correlation: int
    components: int
    error_variance: int
    noise: int
    weights: tuple[float, ...]

    @classmethod
    def initial(cls, weights: int) -> KernelHyperparameters:
        """Return where the choice begins."""
        return cls(0, 1, 3, 2, (1.0,) * weights)

    @property
    def noise_variance(self) -> float:
        """The variance of the noise."""
        return NOISE_VARIANCES[self.noise]


Change = Callable[[KernelHyperparameters], KernelHyperparameters]
"""Makes other hyperparameters of some."""


class Kernel:
    """Covariances of configurations, which are rows of option indices.

    Args:
        errors: relative weight errors, shape `(layers, options)`.
        options: the canonical options of a layer.
        names: of the layers; by default each has a weight of its own.

    Attributes:
        weights: how many weights layers have: one each, or one for alike ones of many.

    Source: Duvenaud et al. 2011, "Additive Gaussian Processes".
    """

    def __init__(
        self, errors: Floats, options: Sequence[LayerChoice], names: Sequence[str] = ()
    ) -> None:
        self._errors = errors
        self.layers, self.options = errors.shape
        shared = len(names) > MANY_LAYERS
        self._weight_of = np.array(alike(names, MANY_LAYERS) if shared else range(self.layers))
        self.weights = int(self._weight_of.max()) + 1
        self._correlations = option_correlations(
            options, LENGTH_SCALES, DECISION_CORRELATIONS, SMALLEST_CORRELATION
        )

    def __call__(self, chosen: KernelHyperparameters, a: Indices, b: Indices) -> Floats:
        """Return the covariance of every row of `a` and every row of `b`, shape `(n, m)`."""
        alone, pairs, together = COMPONENTS[chosen.components]
        correlation = self._correlations[chosen.correlation]
        weights = np.array(chosen.weights)[self._weight_of]
        tables = correlation * weights[:, None, None]
        total = weights.sum()
        single = sum_over_layers(tables, a, b)
        found = alone * single / total
        if pairs and self.layers > 1:
            most = max(total**2 - (weights**2).sum(), 1e-12)  # of a configuration with itself
            found += pairs * sum_over_pairs(single, tables, a, b) / most
        if together:  # a product over the layers is the exponential of a sum of logarithms
            logarithms = np.broadcast_to(np.log(correlation), tables.shape)
            found += together * np.exp(sum_over_layers(logarithms, a, b))
        error_variance = ERROR_VARIANCES[chosen.error_variance]
        if error_variance:
            apart = np.subtract.outer(self._log_errors(a), self._log_errors(b))
            found += error_variance * np.exp(-0.5 * apart**2)
        result: Floats = found + MEAN_VARIANCE
        return result

    def variance(self, chosen: KernelHyperparameters) -> float:
        """Return the covariance of a configuration with itself, the same for all."""
        alone, pairs, together = COMPONENTS[chosen.components]
        several = pairs if self.layers > 1 else 0.0
        error_variance = ERROR_VARIANCES[chosen.error_variance]
        return float(alone + several + together + error_variance + MEAN_VARIANCE)

    def changes(self) -> Iterator[tuple[Change, float]]:
        """Yield every change of one hyperparameter, and the log likelihood it must gain at least.

        One after the other, since each that is tried costs a Cholesky factorisation: all
        combinations would be thousands, without the layers' weights.
        """
        for field, count in (
            ("correlation", len(self._correlations)),
            ("components", len(COMPONENTS)),
            ("error_variance", len(ERROR_VARIANCES)),
            ("noise", len(NOISE_VARIANCES)),
        ):
            for i in range(count):
                yield partial(_with, field=field, value=i), 0.0
        weights = range(self.weights) if self.weights > 1 else ()  # one alone is no choice
        for number, factor in product(weights, WEIGHT_FACTORS):
            yield partial(_weighted, number=number, factor=factor), WEIGHT_GAIN

    def _log_errors(self, rows: Indices) -> Floats:
        found: Floats = np.log(self._errors[np.arange(self.layers), rows].sum(axis=1))
        return found


def sum_over_layers(tables: Floats, a: Indices, b: Indices) -> Floats:
    """Return the sum over layers i of `tables[i, a[:, i], b[:, i]]` for every pair of rows.

    As one product of matrices: the tables' rows that `a` picks, times one-hot rows of `b`.

    Args:
        tables: shape `(layers, options, options)`.
        a: option indices, shape `(n, layers)`.
        b: option indices, shape `(m, layers)`.

    Returns:
        Shape `(n, m)`.
    """
    layers, options = tables.shape[:2]
    if layers > MANY_LAYERS and len(a) > MANY_ROWS:
        return _sum_of_differences(tables, a, b)
    picked = tables[np.arange(layers), a].reshape(len(a), -1)
    one_hot = np.zeros((len(b), layers, options))
    np.put_along_axis(one_hot, b[:, :, None], 1.0, axis=2)
    found: Floats = picked @ one_hot.reshape(len(b), -1).T
    return found


def _sum_of_differences(tables: Floats, a: Indices, b: Indices) -> Floats:
    """Return `sum_over_layers` for rows most of which differ from one another in few layers.

    The sum of a typical row, and for every other row what the layers change in which it differs.
    """
    typical = np.median(a, axis=0).astype(np.int64)
    found = np.zeros((len(a), len(b)))
    whole = np.zeros(len(b))
    for layer, table in enumerate(tables):
        column = table[:, b[:, layer]]
        whole += column[typical[layer]]
        rows = np.flatnonzero(a[:, layer] != typical[layer])
        if len(rows):
            found[rows] += (column - column[typical[layer]])[a[rows, layer]]
    found += whole
    return found


def sum_over_pairs(single: Floats, tables: Floats, a: Indices, b: Indices) -> Floats:
    """Return the sum over ordered pairs of different layers of the products of their tables.

    By the identity of Newton and Girard: what is left of the square of the sum over layers when
    the squares of single layers are taken away. So pairs cost no more than layers.

    Args:
        single: `sum_over_layers(tables, a, b)`.
        tables: as there.
        a: as there.
        b: as there.
    """
    return single**2 - sum_over_layers(tables**2, a, b)


def _with(chosen: KernelHyperparameters, field: str, value: int) -> KernelHyperparameters:
    changed: dict[str, Any] = {field: value}
    return replace(chosen, **changed)


def _weighted(chosen: KernelHyperparameters, number: int, factor: float) -> KernelHyperparameters:
    weights = list(chosen.weights)
    weights[number] = min(max(weights[number] * factor, SMALLEST_WEIGHT), LARGEST_WEIGHT)
    return replace(chosen, weights=tuple(weights))
