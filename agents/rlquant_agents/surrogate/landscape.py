"""The surrogate: a Gaussian process over configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import erf

from rlquant import LayerChoice, LayerFacts
from rlquant.cost.feasible import Indices
from rlquant_agents.surrogate.kernel import Kernel, Shape
from rlquant_agents.surrogate.neighbours import changed_once
from rlquant_agents.surrogate.weight_error import weight_error

Floats = npt.NDArray[np.float64]

CAPPED = 0.85
"""Damages above this quantile count as that much: how bad the bad ones are teaches little."""
MOST_ROWS = 400
"""Configurations that are learnt from, at most: half of them the best, half the latest."""
GROWTH = 1.25
"""The kernel's shape is chosen again whenever so many times as many configurations are known."""
SWEEPS = 2
"""Times that every part of the shape is tried."""
JITTER = 1e-8
AT_ONCE = 4096
"""Rows that are predicted at once, for the memory that it takes."""
FAR = -6.0
"""Standard deviations below which the expected improvement is taken from its expansion."""


class Landscape:
    """Predicts the damage of configurations from those that were measured, and how surely.

    The damage is a sum over layers, over pairs of them, and over all together, of functions that
    are alike for options of like bits; and a function of the sum of the layers' weight errors,
    which is known before anything is measured. How much of each, the marginal likelihood says.

    Args:
        layers: facts of the searched layers.
        options: the canonical options of a layer.

    Source: Duvenaud et al. 2011, "Additive Gaussian Processes", for sums over layers and pairs.
    """

    def __init__(self, layers: Sequence[LayerFacts], options: Sequence[LayerChoice]) -> None:
        errors = weight_errors(layers, options)
        self._kernel = Kernel(errors, options)
        self._shape = Shape.plain(len(layers))
        self._chosen_for = 0
        self._rows: Indices = np.zeros((0, len(layers)), dtype=np.int64)

    def learn(self, rows: Indices, damages: Floats) -> None:
        """Learn what was measured; replaces what was learnt before.

        Args:
            rows: option indices of different configurations, shape `(n, layers)`, n above 0.
            damages: shape `(n,)`, finite, smaller is better.
        """
        rows, damages = _most_telling(rows, damages)
        cap = max(float(np.quantile(damages, CAPPED)), float(damages.min()) + 1e-3)
        values = np.minimum(damages, cap)
        self._middle, self.spread = float(values.mean()), float(values.std()) or 1.0
        self._rows, self._values = rows, (values - self._middle) / self.spread
        if len(rows) >= GROWTH * self._chosen_for:
            self._shape = self._most_likely()
            self._chosen_for = len(rows)
        self._fit = self._fitted(self._shape)

    def believe(self, rows: Indices) -> None:
        """Take the predictions for these rows for measured, until `learn` is called again."""
        expected = (self.predict(rows)[0] - self._middle) / self.spread
        self._rows = np.concatenate([self._rows, rows])
        self._values = np.concatenate([self._values, expected])
        self._fit = replace(self._fitted(self._shape), scale=self._fit.scale)

    def predict(self, rows: Indices) -> tuple[Floats, Floats]:
        """Return expected damages and their standard deviations, each shape `(n,)`."""
        if len(rows) > AT_ONCE:  # of large networks a single change has thousands of rows
            parts = [
                self.predict(part) for part in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
            ]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        fit = self._fit
        like = self._kernel.between(self._shape, rows, self._rows)
        expected = like @ fit.weights
        known = solve_triangular(fit.factor, like.T, lower=True, check_finite=False)
        left = self._kernel.variance(self._shape) - np.einsum("ij,ij->j", known, known)
        deviation = np.sqrt(np.maximum(left, 1e-9) * fit.scale)
        return self._middle + self.spread * expected, self.spread * deviation

    def effects(self, base: Indices) -> Floats:
        """Return what each option at each layer alone is expected to change in a configuration.

        Args:
            base: option indices, shape `(layers,)`.

        Returns:
            Shape `(layers, options)`, differences of damage to `base`.
        """
        rows = np.concatenate([changed_once(base, self._kernel.options), base[None, :]])
        expected, _ = self.predict(rows)
        found: Floats = (expected[:-1] - expected[-1]).reshape(len(base), -1)
        return found

    def _most_likely(self) -> Shape:
        """Return the kernel's shape of the greatest likelihood that single changes lead to."""
        shape = self._shape
        best = self._fitted(shape).likelihood
        for _ in range(SWEEPS):
            before = best
            for change, least in self._kernel.changes():
                other = change(shape)
                if other == shape:
                    continue
                likelihood = self._fitted(other).likelihood
                if likelihood > best + least:
                    best, shape = likelihood, other
            if best <= before:
                break
        return shape

    def _fitted(self, shape: Shape) -> _Fit:
        like = self._kernel.between(shape, self._rows, self._rows)
        like[np.diag_indices_from(like)] += shape.noise + JITTER
        factor, _ = cho_factor(like, lower=True, check_finite=False)
        weights = cho_solve((factor, True), self._values, check_finite=False)
        count = len(self._values)
        scale = max(float(self._values @ weights) / count, 1e-6)
        likelihood = -0.5 * count * np.log(scale) - float(np.log(np.diag(factor)).sum())
        return _Fit(factor, weights, scale, likelihood)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A factorised kernel: what predictions need."""

    factor: Floats
    weights: Floats
    scale: float
    likelihood: float


def weight_errors(layers: Sequence[LayerFacts], options: Sequence[LayerChoice]) -> Floats:
    """Return the relative weight error of every option at every layer, shape `(layers, options)`.

    By bits alone: what the other decisions make of it is not known before it is measured.
    """
    widths = [option.arithmetic_bits for option in options]
    return np.array([[weight_error(facts, bits) for bits in widths] for facts in layers])


def expected_improvement(expected: Floats, deviation: Floats, best: Floats | float) -> Floats:
    """Return by how much each is expected to be below the best damage; shapes broadcast.

    Source: Mockus et al. 1978; Jones et al. 1998.
    """
    z = (best - expected) / deviation
    below = 0.5 * (1 + erf(z / np.sqrt(2)))
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # far below, the sum is a small difference of equal numbers, which rounding makes noise
    unit = np.where(z < FAR, density / np.maximum(z**2, 1.0), z * below + density)
    found: Floats = deviation * unit
    return found


def _most_telling(rows: Indices, damages: Floats) -> tuple[Indices, Floats]:
    if len(rows) <= MOST_ROWS:
        return rows, damages
    latest = np.arange(len(rows) - MOST_ROWS // 2, len(rows))
    earlier = np.argsort(damages[: latest[0]], kind="stable")[: MOST_ROWS // 2]
    kept = np.concatenate([np.sort(earlier), latest])
    return rows[kept], damages[kept]
