"""Relative weight errors as a prior of how a layer's bits change the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlquant import LayerChoice, LayerFacts
from rlquant.layers import ERROR_BITS

Effects = npt.NDArray[np.float64]
"""Log-loss increase of each option at each layer, shape `(layers, options)`."""


def weight_error(facts: LayerFacts, bits: int) -> float:
    """Return the layer's relative weight error at `bits`, beyond 2..8 by a factor 4 a bit."""
    low, high = ERROR_BITS[0], ERROR_BITS[-1]
    inside = min(max(bits, low), high)
    error = max(facts.relative_error[inside - low], 1e-9)
    return float(error * 4.0 ** (inside - bits))


def weight_errors(layers: Sequence[LayerFacts], options: Sequence[LayerChoice]) -> Effects:
    """Return the relative weight error of every option at every layer, shape `(layers, options)`.

    By bits alone: what the other decisions make of it is not known before it is measured.
    """
    widths = [option.arithmetic_bits for option in options]
    return np.array([[weight_error(facts, bits) for bits in widths] for facts in layers])
