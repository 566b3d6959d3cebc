"""Correlations between the options of a layer, of which covariances of configurations are made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from rlquant.config import LayerChoice, decisions_apart

Floats = npt.NDArray[np.float64]


def decision_distances(options: Sequence[LayerChoice]) -> npt.NDArray[np.int64]:
    """Return in how many decisions beside the bits options differ, shape `(options, options)`."""
    return np.array([[decisions_apart(a, b) for b in options] for a in options])


def option_correlations(
    options: Sequence[LayerChoice],
    length_scales: Sequence[tuple[float, float]],
    decision_correlations: Sequence[float],
    smallest: float = 0.0,
) -> list[Floats]:
    """Return the correlations of a layer's options for every combination of hyperparameters.

    A squared exponential in the bits b, after a warp: with a rate r above 0 it is one in
    2**(-r (b - 2)), so that the narrow widths lie far apart and the wide ones close together, as
    quantization errors do. Each other decision that differs multiplies it by one factor.

    Args:
        options: the options of a layer.
        length_scales: pairs of a rate r and the length scale of the warped bits.
        decision_correlations: the factors; they play no part where options differ by bits alone.
        smallest: least correlation by bits, above 0 where its logarithm is needed.

    Returns:
        Matrices of shape `(options, options)`, 0 to 1, the factors varying fastest.
    """
    bits = np.array([option.arithmetic_bits for option in options], dtype=float)
    differing = decision_distances(options)
    factors = decision_correlations if differing.any() else (1.0,)
    return [
        np.maximum(_squared_exponential(bits, rate, length), smallest) * factor**differing
        for (rate, length), factor in product(length_scales, factors)
    ]


def exponential_correlation(options: Sequence[LayerChoice]) -> Floats:
    """Return correlations that fall by e every two bits or other decisions that differ."""
    bits = np.array([option.arithmetic_bits for option in options])
    apart = np.abs(np.subtract.outer(bits, bits)) + decision_distances(options)
    found: Floats = np.exp(-0.5 * apart)
    return found


def _squared_exponential(bits: Floats, rate: float, length: float) -> Floats:
    warped = 2.0 ** (-rate * (bits - 2)) if rate else bits
    apart = np.subtract.outer(warped, warped)
    found: Floats = np.exp(-(apart**2) / (2 * length**2))
    return found
