"""Less noisy increases: levels of layers and of options, and of the rest what is no noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlquant.layer_names import role

Floats = npt.NDArray[np.float64]
PASSES = 20
"""Alternations of the levels of layers and of options."""


def smoothed(halves: Floats, names: Sequence[str]) -> Floats:
    """Return increases with less noise than the mean of two estimates of independent draws has.

    The log of an increase is a level of the layer, a level of the option, what layers of one role
    have at the option beyond it, and a rest. Of the last two so much is kept as both estimates
    agree on: a searcher takes the smallest of many numbers, and finds what is small by chance.

    Args:
        halves: shape `(2, layers, options)`; 0 where a layer does not have an option.
        names: of the layers.

    Returns:
        Shape `(layers, options)`.
    """
    mean: Floats = halves.mean(axis=0)
    known: npt.NDArray[np.bool_] = np.all(halves > 0.0, axis=0)
    if not known.any():
        return mean
    both = [_parts(np.log(np.where(known, half, 1.0)), known, names) for half in (*halves, mean)]
    logs = both[2][0]
    for first, second, whole in zip(*(parts[1:] for parts in both), strict=True):
        logs = logs + _agreed_share(first[known], second[known]) * whole
    found: Floats = np.where(known, np.exp(logs), mean)
    return found


def _parts(logs: Floats, known: npt.NDArray[np.bool_], names: Sequence[str]) -> list[Floats]:
    """Return levels of layers and options, what roles have beyond them, and the rest."""
    layers = options = np.zeros_like(logs)
    for _ in range(PASSES):
        layers = _mean(logs - options, known, axis=1)
        options = _mean(logs - layers, known, axis=0)
    rest = logs - layers - options
    kinds = np.array([role(name) for name in names])
    shared = np.zeros_like(logs)
    for kind in set(kinds.tolist()):
        alike = kinds == kind
        shared[alike] = _mean(rest[alike], known[alike], axis=0)
    return [layers + options, shared, rest - shared]


def _mean(values: Floats, known: npt.NDArray[np.bool_], axis: int) -> Floats:
    """Return the mean of known values along an axis, of the same shape; 0 where none is known."""
    total = np.where(known, values, 0.0).sum(axis=axis, keepdims=True)
    found: Floats = np.broadcast_to(
        total / np.maximum(1, known.sum(axis=axis, keepdims=True)), values.shape
    )
    return found


def _agreed_share(first: Floats, second: Floats) -> float:
    """Return the share of the variance of two estimates' mean that is no noise, 0 to 1."""
    agreed = float((first * second).mean())
    whole = float((((first + second) / 2) ** 2).mean())
    return min(1.0, max(0.0, agreed / whole)) if whole > 0.0 else 0.0
