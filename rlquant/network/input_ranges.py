"""The range of each layer's inputs in the float network, which its activation grid covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rlquant.copying.network_copy import copy_network
from rlquant.data import Samples
from rlquant.errors import QuantizationError
from rlquant.layers import LayerFacts, first_input
from rlquant.quantizers.activation import RangeMethod, activation_range

Ranges = dict[str, tuple[float, float]]
"""(low, high) by layer."""


def measure_input_ranges(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    samples: Samples,
    method: RangeMethod = "percentile",
    percentile: float = 99.9,
) -> Ranges:
    """Run the float network once over the calibration samples; embeddings have no range.

    Percentiles cost more than the network itself: call it only where activations are quantized.

    Raises:
        QuantizationError: a layer whose inputs are not finite.
    """
    ranges: Ranges = {}
    clone = copy_network(network)
    for facts in layers:
        if facts.kind != "embedding":
            recorder = _range_recorder(ranges, facts.name, method, percentile)
            module = clone.get_submodule(facts.name)
            module.register_forward_pre_hook(recorder, with_kwargs=True)
    with torch.no_grad():
        clone(*samples.inputs)
    return ranges


def _range_recorder(ranges: Ranges, name: str, method: RangeMethod, percentile: float) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        try:
            low, high = activation_range(first_input(args, keywords), method, percentile)
        except QuantizationError as error:
            raise QuantizationError(f"inputs of layer {name!r}: {error}") from error
        known = ranges.get(name, (low, high))
        ranges[name] = (min(low, known[0]), max(high, known[1]))

    return hook
