"""Options that are quantized at every layer, and those that follow them by what is alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlquant.config import LayerChoice
from rlquant.layer_names import role

Floats = npt.NDArray[np.float64]
MOST_WEIGHTS = 2**28
"""Weights times options that are quantized for expected increases, where that leaves enough."""
N_WIDTHS, LEAST = 3, 6
"""Widths next to the budget's, and options of them, two each, that are always quantized."""


def anchor_options(options: Sequence[LayerChoice], prices: Floats, weights: int) -> list[int]:
    """Return the options that are quantized at every layer.

    All of them where that is not too much; else, of the widths nearest to the budget, the cheapest
    option and the last but one.

    Args:
        options: quantized ones and float.
        prices: what a network of one option costs, as a share of the budget, shape `(options,)`.
        weights: of all layers.
    """
    if weights * len(options) <= MOST_WEIGHTS or len(options) <= LEAST:
        return list(range(len(options)))
    by_width: dict[int, list[int]] = {}
    for number in np.argsort(prices, kind="stable").tolist():
        if options[number].method != "float":
            by_width.setdefault(options[number].arithmetic_bits, []).append(number)
    distance = np.abs(np.log(prices))
    nearest = sorted(by_width.values(), key=lambda numbers: float(distance[numbers[0]]))[:N_WIDTHS]
    return sorted({number for numbers in nearest for number in (numbers[0], numbers[-2:][0])})


def profiled_layers(names: Sequence[str]) -> dict[str, str]:
    """Return for each layer the one of its role, in the middle, that is quantized in every way."""
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(role(name), []).append(name)
    middle = {kind: alike[len(alike) // 2] for kind, alike in members.items()}
    return {name: middle[role(name)] for name in names}


def filled(increases: Floats, profiles: Sequence[int]) -> Floats:
    """Return the increases with the options that were not quantized filled in.

    An option is to the nearest anchor at the layer as it is at the layer of the same role that was
    quantized in every way.

    Args:
        increases: shape `(layers, options)`, NaN where not known.
        profiles: for each layer the number of the layer that is known in full.

    Returns:
        The same shape; 0 where a layer does not have the option.
    """
    found = increases.copy()
    logs = np.log(np.maximum(increases, np.finfo(float).tiny))
    for layer, profile in enumerate(profiles):
        known = np.flatnonzero(np.isfinite(increases[layer]))
        for option in np.flatnonzero(np.isnan(increases[layer])):
            apart = np.abs(logs[profile, known] - logs[profile, option])
            if np.isfinite(apart).any():
                anchor = known[int(np.nanargmin(apart))]
                ratio = logs[profile, option] - logs[profile, anchor]
                found[layer, option] = increases[layer, anchor] * np.exp(ratio)
    return np.nan_to_num(found)
