"""The share of a sum over the layers in all variance, estimated from a few configurations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rlquant.config import LayerChoice
from rlquant.cost.feasible import Indices
from rlquant.probing.option_correlation import option_correlations

Floats = npt.NDArray[np.float64]

LENGTH_SCALES = (
    *((0.0, 0.5), (0.0, 1.5), (0.0, 4.0)),
    *((0.5, 0.3), (0.5, 1.0), (1.0, 0.3), (1.0, 1.0)),
)
"""Rates and length scales of `option_correlations`; the first makes every option its own."""
DECISION_CORRELATIONS = (0.3, 0.6, 0.85, 0.95)
"""Factors of `option_correlations`."""
REMAINDERS = np.geomspace(1e-6, 1e3, 91)
"""Variances of the remainder, over the sum's, of which the likelihood chooses."""
HEAVY = 4.0
"""Fourth moment of the remainder less one, at the least: a sample seldom has the few configurations
that make its tail heavy. It is 2 for a normal remainder, and 3 to 8 on measured tables."""


def estimate_share(
    rows: Indices, values: Floats, options: Sequence[LayerChoice]
) -> tuple[float, float]:
    """Estimate the share of a sum over the layers in the variance of the values.

    A few configurations fit any sum with an effect for each layer and option, so least squares
    would explain everything. Here the effects are normal variables, alike for options of like
    bits and of one size for all layers, and what is not a sum is an independent remainder. The
    share is the posterior mean over a grid of likenesses and remainders, weighted by their
    restricted likelihood; beforehand every share is as likely as any other. (In genetics, the
    heritability of a trait is estimated like this, with many more effects than people.)

    Args:
        rows: option indices of different configurations, shape `(n, layers)`; n of 3 and more.
        values: shape `(n,)`, finite, not all the same.
        options: the options of a layer.

    Returns:
        The share, 0 to 1, and its standard error for the configurations that the rows were drawn
        from; `BudgetShare.interval` says how often truth lies where.

    Source: Yang et al. 2010, "Common SNPs explain a large proportion of the heritability for human
    height", for the method; Duvenaud et al. 2011, "Additive Gaussian Processes", for the kernel.
    """
    centred = (values - values.mean()) / values.std()
    found = [_shares(kernel, centred) for kernel in _kernels(rows, options)]
    shares, variances, likelihoods = (np.concatenate(column) for column in zip(*found, strict=True))
    before = np.log(REMAINDERS) - 2 * np.log1p(REMAINDERS)  # of shares 1 / (1 + remainder), alike
    likelihoods += np.tile(before, len(found))
    weights = np.exp(likelihoods - likelihoods.max())
    weights /= weights.sum()
    share = float(weights @ shares)
    return share, float(np.sqrt(weights @ ((shares - share) ** 2 + variances)))


def _kernels(rows: Indices, options: Sequence[LayerChoice]) -> Iterator[Floats]:
    """Yield the covariance of the configurations, shape `(n, n)`, for all hyperparameters.

    Each layer's is centred and has mean variance 1; where all rows agree in a layer, it has none.
    """
    for correlation in option_correlations(options, LENGTH_SCALES, DECISION_CORRELATIONS):
        total = np.zeros((len(rows), len(rows)))
        for column in rows.T:
            one = correlation[np.ix_(column, column)]
            one = one - one.mean(axis=0) - one.mean(axis=1)[:, None] + one.mean()
            variance = np.trace(one) / len(rows)
            if variance > 1e-12:
                total += one / variance / rows.shape[1]
        yield total


def _shares(kernel: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return share, its variance and log likelihood for every remainder.

    In the basis of the kernel's eigenvectors beside the constant one, values are independent.

    Args:
        kernel: centred, shape `(n, n)`.
        values: of mean 0.
    """
    count = len(values)
    constant = np.full((count, count), 1e6 / count)  # goes last, and is left out with the mean
    eigenvalues, vectors = np.linalg.eigh(kernel + constant)
    sums, basis = np.maximum(eigenvalues[:-1], 0.0), vectors[:, :-1]
    found = basis.T @ values
    variance = sums + REMAINDERS[:, None]  # of each, up to the scale
    scale = (found**2 / variance).mean(axis=1)
    likelihood = -0.5 * ((count - 1) * np.log(scale) + np.log(variance).sum(axis=1))

    explained = sums / variance
    mean = explained * found  # posterior of the sum; the remainder's has the same spread
    rest = found - mean
    spread = scale[:, None] * (sums - sums * explained)
    of_sum, of_rest = (mean**2 + spread).sum(axis=1), (rest**2 + spread).sum(axis=1)
    total = of_sum + of_rest
    share = of_sum / total
    uncertain = (2 * (spread**2).sum(axis=1) + 4 * (spread * rest**2).sum(axis=1)) / total**2
    left = np.maximum(count - 1 - explained.sum(axis=1), 1.0)
    # other rows would give other variances of both parts
    drawn = _excess(mean @ basis.T, 1.0) / count + _excess(rest @ basis.T, HEAVY) / left
    return share, uncertain + (share * (1 - share)) ** 2 * drawn, likelihood


def _excess(values: Floats, least: float) -> Floats:
    """Return n times the relative variance of a sample variance, at least `least`, by row."""
    fourth, second = (values**4).mean(axis=1), (values**2).mean(axis=1)
    excess: Floats = np.maximum(fourth / np.maximum(second**2, 1e-300) - 1, least)
    return excess
