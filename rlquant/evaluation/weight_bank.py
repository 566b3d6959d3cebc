"""Quantized weights, computed once per (layer, choice) and kept ready in the layer's layout."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.layers import LayerFacts
from rlquant.network.weights import Moments, quantize_weight
from rlquant.quantizers import QuantizedTensor

DEFAULT_BYTES = 2 * 2**30


class WeightBank:
    """Quantizes a layer's float weight on first request and remembers the result.

    Args:
        weights: float weight of each searched layer.
        layers: facts of the same layers.
        seed: decides random draws, together with the layer's name.
        max_bytes: of the weights kept, dequantized and quantized; the least recently used go first.
        moments: asked for roundings that look at the layers' outputs.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        layers: tuple[LayerFacts, ...],
        seed: int,
        max_bytes: int = DEFAULT_BYTES,
        moments: Moments | None = None,
    ) -> None:
        self._weights = dict(weights)
        self._axes = {facts.name: facts.channel_axis for facts in layers}
        self._seed, self._moments = seed, moments
        self._max_bytes = max_bytes
        self._kept: OrderedDict[LayerChoice, _Kept] = OrderedDict()
        self._bytes = 0

    def tensor(self, choice: LayerChoice) -> QuantizedTensor:
        """Return the quantized weight of a canonical choice; a copy, as networks are changed."""
        return copy.deepcopy(self._find(choice).tensor)

    def values(self, choice: LayerChoice) -> Tensor:
        """Return the dequantized weight of a canonical choice; never write to it."""
        if choice.method == "float":
            return self._weights[choice.layer]
        return self._find(choice).values

    def _find(self, choice: LayerChoice) -> _Kept:
        if choice.activation_bits is not None:  # the weight is the same
            choice = replace(choice, activation_bits=None)
        if choice in self._kept:
            self._kept.move_to_end(choice)
            return self._kept[choice]
        found = self._kept[choice] = self._quantize(choice)
        self._bytes += found.nbytes
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found

    def _quantize(self, choice: LayerChoice) -> _Kept:
        original = self._weights[choice.layer]
        with torch.no_grad():
            tensor = quantize_weight(
                original,
                choice,
                channel_axis=self._axes[choice.layer],
                seed=self._seed,
                moments=self._moments,
            )
            return _Kept(tensor, tensor.dequantize().to(original.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    tensor: QuantizedTensor
    values: Tensor

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.tensor.codes.nbytes
