"""Quantized weights, computed once per (layer, choice) and kept ready in the layer's layout."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from rlquant.choices import BucketSize, LayerChoice
from rlquant.layers import LayerFacts
from rlquant.network.weights import Moments, quantize_weight
from rlquant.quantizers import QuantizedTensor

DEFAULT_BYTES = 2 * 2**30


class WeightBank:
    """Quantizes a layer's float weight on first request and remembers the result.

    Args:
        weights: float weight of each searched layer.
        layers: facts of the same layers.
        bucket_size: weights that share a scale.
        seed: decides random draws, together with the layer's name.
        max_bytes: the dequantized weights kept; the least recently used go first.
        moments: asked for roundings that look at the layers' outputs.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        layers: tuple[LayerFacts, ...],
        bucket_size: BucketSize,
        seed: int,
        max_bytes: int = DEFAULT_BYTES,
        moments: Moments | None = None,
    ) -> None:
        self._weights = dict(weights)
        self._axes = {facts.name: facts.channel_axis for facts in layers}
        self._bucket_size: BucketSize = bucket_size
        self._seed, self._moments = seed, moments
        self._max_bytes = max_bytes
        self._values: OrderedDict[LayerChoice, Tensor] = OrderedDict()
        self._bytes = 0

    def tensor(self, choice: LayerChoice) -> QuantizedTensor:
        """Quantize the weight of the choice's layer; not remembered."""
        return quantize_weight(
            self._weights[choice.layer],
            choice,
            bucket_size=self._bucket_size,
            channel_axis=self._axes[choice.layer],
            seed=self._seed,
            moments=self._moments,
        )

    def values(self, choice: LayerChoice) -> Tensor:
        """Return the dequantized weight of a canonical choice; never write to it."""
        if choice.method == "keep":
            return self._weights[choice.layer]
        if choice.activation_bits is not None:  # the weight is the same
            choice = replace(choice, activation_bits=None)
        if choice in self._values:
            self._values.move_to_end(choice)
            return self._values[choice]
        original = self._weights[choice.layer]
        with torch.no_grad():
            values = self.tensor(choice).dequantize().to(original.dtype)
        self._values[choice] = values
        self._bytes += values.nbytes
        while self._bytes > self._max_bytes and len(self._values) > 1:
            self._bytes -= self._values.popitem(last=False)[1].nbytes
        return values
