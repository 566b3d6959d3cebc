"""The posterior of a Gaussian process: the arithmetic that all surrogates share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

Floats = npt.NDArray[np.float64]

SMALLEST_SCALE = 1e-6
SMALLEST_VARIANCE = 1e-9
"""Variances are at least so large: with fewer values than numbers to fit they would vanish."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """A Gaussian process given noisy values.

    Attributes:
        factor: lower Cholesky factor L of the values' covariance K, noise included, `(n, n)`; what
            is above its diagonal is none of it.
        weights: K^-1 values, shape `(n,)`: the mean elsewhere is its covariance with the values,
            times these, plus `constant`.
        constant: what was taken away from all values.
        scale: the most likely factor of all covariances.
        log_likelihood: log marginal likelihood at that scale, up to a constant.
    """

    factor: Floats
    weights: Floats
    constant: float
    scale: float
    log_likelihood: float

    @classmethod
    def of(cls, covariance: Floats, values: Floats, *, constant: bool = False) -> Posterior:
        """Return the posterior.

        The log density of the values under a covariance of s K is, up to a constant,
        -1/2 (n log s + log |K| + values' K^-1 values / s). It is largest at
        s = values' K^-1 values / n, where the last term is the constant n; log |K| is twice
        the sum of the logarithms of L's diagonal.

        Args:
            covariance: K, shape `(n, n)`, positive definite.
            values: shape `(n,)`.
            constant: whether a constant that nothing holds near zero is fitted and taken away, by
                generalised least squares: 1' K^-1 values / 1' K^-1 1.
        """
        factor, _ = cho_factor(covariance, lower=True, check_finite=False)
        count, shift = len(values), 0.0
        if constant:
            ones = cho_solve((factor, True), np.ones(count), check_finite=False)
            shift = float(ones @ values) / float(ones.sum())
            values = values - shift
        weights = cho_solve((factor, True), values, check_finite=False)
        scale = max(float(values @ weights) / count, SMALLEST_SCALE)
        likelihood = -0.5 * count * np.log(scale) - float(np.log(np.diag(factor)).sum())
        return cls(factor, weights, shift, scale, likelihood)

    def mean(self, covariance: Floats) -> Floats:
        """Return the mean at other places, shape `(m,)`, from their covariance `(m, n)`."""
        found: Floats = covariance @ self.weights + self.constant
        return found

    def explained(self, covariance: Floats) -> Floats:
        """Return what the values explain of the variance at other places, shape `(m,)`.

        It is c' K^-1 c, the squared length of L^-1 c.

        Args:
            covariance: of the places and the values, shape `(m, n)`.
        """
        known = solve_triangular(self.factor, covariance.T, lower=True, check_finite=False)
        found: Floats = np.einsum("ij,ij->j", known, known)
        return found

    def deviation(self, covariance: Floats, variance: float) -> Floats:
        """Return the standard deviation at other places, shape `(m,)`.

        Args:
            covariance: of the places and the values, shape `(m, n)`.
            variance: of a place before anything is known.
        """
        left = variance - self.explained(covariance)
        found: Floats = np.sqrt(np.maximum(left, SMALLEST_VARIANCE) * self.scale)
        return found
