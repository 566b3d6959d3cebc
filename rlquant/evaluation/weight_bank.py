"""Quantized weights, computed once per (layer, choice) and kept within a limit of memory."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.errors import StorageError
from rlquant.evaluation.default_limits import bank_limit
from rlquant.evaluation.packed_weight import PackedWeight
from rlquant.evaluation.weight_folder import WeightFolder
from rlquant.layers import LayerFacts
from rlquant.network.weights import Moments, quantize_weight
from rlquant.quantizers import QuantizedTensor

logger = logging.getLogger(__name__)


class WeightBank:
    """Quantizes a layer's float weight on first request and remembers the result.

    Values are made of codes, which take at most a quarter of their memory and all of the time. So
    values go first where the limit is reached, and codes when no values are left; of each the least
    recently used ones. What is asked for is kept while it is the last.

    Args:
        weights: float weight of each searched layer.
        layers: facts of the same layers.
        seed: decides random draws, together with the layer's name.
        max_bytes: of the weights kept, dequantized and quantized; see `bank_limit`.
        moments: asked for roundings that look at the layers' outputs.
        folder: keeps what was quantized, for what does not fit and for later processes; None has
            it quantized again.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        layers: tuple[LayerFacts, ...],
        seed: int,
        max_bytes: int | None = None,
        moments: Moments | None = None,
        folder: WeightFolder | None = None,
    ) -> None:
        self._weights = dict(weights)
        self._axes = {facts.name: facts.channel_axis for facts in layers}
        self._seed, self._moments = seed, moments
        self.max_bytes = bank_limit(self._weights.values()) if max_bytes is None else max_bytes
        self.bytes = 0
        self._values: OrderedDict[LayerChoice, Tensor] = OrderedDict()
        self._packed: OrderedDict[LayerChoice, PackedWeight] = OrderedDict()
        self._folder = folder

    def tensor(self, choice: LayerChoice) -> QuantizedTensor:
        """Return the quantized weight of a canonical choice; a copy, as networks are changed."""
        found = self._weight(_of_weight(choice)).unpacked()
        self._make_room()
        return copy.deepcopy(found)

    def values(self, choice: LayerChoice) -> Tensor:
        """Return the dequantized weight of a canonical choice; never write to it."""
        if choice.method == "float":
            return self._weights[choice.layer]
        choice = _of_weight(choice)
        if choice not in self._values:
            found = (
                self._weight(choice).unpacked().dequantize().to(self._weights[choice.layer].dtype)
            )
            self._values[choice] = found
            self.bytes += found.nbytes
        self._values.move_to_end(choice)
        if choice in self._packed:
            self._packed.move_to_end(choice)
        self._make_room()
        return self._values[choice]

    def forget_values(self) -> None:
        """Let go of dequantized weights, which are made of the codes again."""
        self.bytes -= sum(values.nbytes for values in self._values.values())
        self._values.clear()

    def packed(self, choice: LayerChoice) -> PackedWeight:
        """Return the quantized weight of a canonical choice as it is kept; never write to it."""
        found = self._weight(_of_weight(choice))
        self._make_room()
        return found

    def _weight(self, choice: LayerChoice) -> PackedWeight:
        if choice not in self._packed:
            found = self._packed[choice] = self._kept(choice) or self._new(choice)
            self.bytes += found.nbytes
        self._packed.move_to_end(choice)
        return self._packed[choice]

    def _make_room(self) -> None:
        while self.bytes > self.max_bytes and len(self._values) > 1:
            self.bytes -= self._values.popitem(last=False)[1].nbytes
        while self.bytes > self.max_bytes and len(self._packed) > 1:
            self.bytes -= self._packed.popitem(last=False)[1].nbytes

    def _kept(self, choice: LayerChoice) -> PackedWeight | None:
        if self._folder is None:
            return None
        return self._folder.get(choice, self._weights[choice.layer])

    def _new(self, choice: LayerChoice) -> PackedWeight:
        found = PackedWeight.of(self._quantize(choice))
        if self._folder is not None:
            try:
                self._folder.put(choice, found)
            except StorageError as error:  # a full disk must not end a search
                logger.warning("quantized weights are not kept on disk from here on: %s", error)
                self._folder = None
        return found

    def _quantize(self, choice: LayerChoice) -> QuantizedTensor:
        with torch.no_grad():
            return quantize_weight(
                self._weights[choice.layer],
                choice,
                channel_axis=self._axes[choice.layer],
                seed=self._seed,
                moments=self._moments,
            )


def _of_weight(choice: LayerChoice) -> LayerChoice:
    """Return what a weight depends on of a choice: the inputs' bits change nothing."""
    return choice if choice.activation_bits is None else replace(choice, activation_bits=None)
