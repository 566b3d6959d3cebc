"""What the encoder sees of a network under a budget: every option of every layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rlquant_experiments.landscapes.landscape import Landscape

Floats = npt.NDArray[np.float64]

ROLES: Mapping[str, tuple[str, ...]] = {
    "value": ("query_key_value", "v_proj", "value"),
    "query or key": ("q_proj", "k_proj", "query", "key"),
    "attention output": ("o_proj", "attention.output.dense", "attention.dense"),
    "expansion": ("gate_proj", "up_proj", "intermediate.dense", "h_to_4h", "fc1", "expand"),
    "contraction": ("down_proj", "output.dense", "4h_to_h", "fc2", "project.", "project_conv"),
    "depthwise": ("depthwise",),
}
"""Words in the names of layers, the first that is found counts; others have none of these roles."""
CONVOLUTION, HEAD = "convolution", "head"
KINDS = (*ROLES, CONVOLUTION, HEAD)
LAYER_FEATURES = (
    *(f"is {kind}" for kind in KINDS),
    *("depth", "share of weights", "fan-in", "largest weight", "kurtosis"),
)
OPTION_FEATURES = (
    *("bits", "bits of scales", "increase", "increase in the layer", "weight error", "cost"),
)
BUDGET_FEATURES = ("bits above the cheapest",)
FEATURES = (*LAYER_FEATURES, *OPTION_FEATURES, *BUDGET_FEATURES)
LEAST = 1e-12
MOST = 6.0
"""Features are cut off there; they are of the order of 1."""


def features_of(landscape: Landscape, solution: npt.NDArray[np.int64], limit: int) -> Floats:
    """Return the features of every option of every layer, shape `(layers, options, FEATURES)`.

    All are dimensionless: increases are relative to their mean in a configuration.

    Args:
        landscape: the network; what was measured of it plays no part.
        solution: option indices that gradients alone would choose, shape `(layers,)`.
        limit: of the budget, bits.
    """
    layers, options = landscape.increases.shape
    weights = landscape.layers[:, 0]
    room = limit - landscape.fixed - landscape.costs.min(axis=1).sum()
    logs = np.log(np.maximum(landscape.increases, LEAST))
    mean = landscape.increases[np.arange(layers), solution].mean()
    bits = landscape.options[:, 0]
    spent = landscape.costs / weights[:, None]
    errors = np.log(np.maximum(landscape.weight_errors, LEAST))
    own = landscape.own > 0
    columns = [
        np.broadcast_to(bits / 8.0, logs.shape),
        spent - bits,
        (logs - np.log(max(mean, LEAST))) / 4.0,
        (logs - _mean(logs, own)) / 4.0,
        (errors - _mean(errors, own)) / 4.0,
        spent / 8.0,
        np.full_like(logs, room / weights.sum() / 4.0),
    ]
    of_layers = np.broadcast_to(_layers(landscape)[:, None], (layers, options, len(LAYER_FEATURES)))
    found = np.concatenate([of_layers, np.stack(columns, axis=-1)], axis=-1)
    return np.where(own[..., None], np.clip(found, -MOST, MOST), 0.0)


def _layers(landscape: Landscape) -> Floats:
    """Return the features of layers, shape `(layers, LAYER_FEATURES)`."""
    weights, _, fan_in, convolves, _, std, largest, kurtosis, *_ = landscape.layers.T
    count = len(weights)
    named = zip(landscape.names, convolves, range(count), strict=True)
    kinds = [kind_of(name, conv > 0, i == count - 1) for name, conv, i in named]
    return np.column_stack(
        [
            *(np.array([kind == each for kind in kinds], dtype=np.float64) for each in KINDS),
            np.arange(count) / max(1, count - 1),
            np.log(weights / weights.mean()) / 2.0,
            np.log(fan_in / fan_in.mean()) / 2.0,
            np.log(largest / std) - 1.5,
            np.log(kurtosis / 3.0),
        ]
    )


def kind_of(name: str, convolves: bool, is_last: bool) -> str:
    """Return one of `KINDS`, or nothing."""
    for kind, words in ROLES.items():
        if any(word in name for word in words):
            return kind
    return CONVOLUTION if convolves else HEAD if is_last else ""


def _mean(values: Floats, own: npt.NDArray[np.bool_]) -> Floats:
    """Return the mean of each layer's own options, shape `(layers, 1)`."""
    total = np.where(own, values, 0.0).sum(axis=1, keepdims=True)
    found: Floats = total / own.sum(axis=1, keepdims=True)
    return found
