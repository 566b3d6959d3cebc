"""Sizes in bits and bytes of each part of a quantized network, known before quantization.

The packed file (`export/packed.py`) follows these formulas to the byte; tests hold them equal.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rlquant.config import GroupSize, LayerChoice
from rlquant.quantizers.formats import format_of
from rlquant.quantizers.weight_format import GroupFacts

LAYER_RECORD_BYTES = 8
"""A quantized layer's record: method, points, bits and so on, as in `export/rlq/contents.py`."""
ACTIVATION_BYTES = 6
"""A float32 scale and an unsigned 16-bit zero point."""


def record_bytes(choice: LayerChoice) -> int:
    """Return the bytes of a layer's record; a group size that is a number stands behind it."""
    if isinstance(choice.group_size, str):
        return LAYER_RECORD_BYTES
    return LAYER_RECORD_BYTES + varint_bytes(choice.group_size)


def varint_bytes(value: int) -> int:
    """Return the bytes of a whole number as LEB128: seven bits in each."""
    return max(1, -(-value.bit_length() // 7))


def code_bytes(choice: LayerChoice, weights: int) -> int:
    """Return the bytes of a layer's codes in the file."""
    return format_of(choice).code_bytes(choice.bits, weights)


class Storage(Protocol):
    """The size of one layer's weight under any choice, in the file that a search is for."""

    @property
    def weights(self) -> int:
        """The number of weights."""

    def bits(self, choice: LayerChoice) -> int:
        """Return the bits that `average_bits` counts."""

    def file_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes that the layer's weight takes in the file."""


class LayerStorage:
    """The stored size of one layer's weight under any choice.

    Args:
        weight: of the float network; it is read when a group size is first asked about.
        channel_axis: output-channel axis of the weight.

    Attributes:
        element_bytes: bytes of one weight of the float network.
        shape: of the weight.
    """

    def __init__(self, weight: Tensor, channel_axis: int = 0) -> None:
        self._weights, self.element_bytes = weight.numel(), weight.element_size()
        self.shape = tuple(weight.shape)
        self._weight, self._channel_axis = weight, channel_axis
        self._facts: dict[GroupSize, GroupFacts] = {}

    @property
    def weights(self) -> int:
        """The number of weights."""
        return self._weights

    def facts(self, choice: LayerChoice) -> GroupFacts:
        """Return the facts of the groups that share a scale; the tensor where there is but one."""
        size = format_of(choice).group_size(choice)
        if size not in self._facts:
            self._facts[size] = GroupFacts.of(self._weight, size, self._channel_axis)
        return self._facts[size]

    def code_bits(self, choice: LayerChoice) -> int:
        """Return the bits of the codes."""
        return format_of(choice).code_bits(choice.bits, self.weights)

    def scale_dtype(self, choice: LayerChoice) -> torch.dtype:
        """Return the type in which the layer's scales, offsets and codebook are stored."""
        return format_of(choice).scale_dtype(self.facts(choice), choice.bits)

    def number_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes of the scales, offsets and stored codebook."""
        counts = format_of(choice).numbers(choice.bits, self.facts(choice).groups)
        return sum(counts) * self.scale_dtype(choice).itemsize

    def bits(self, choice: LayerChoice) -> int:
        """Return the bits that `average_bits` counts: codes, scales, offsets, stored codebook."""
        if choice.method == "float":
            return self.weights * 8 * self.element_bytes
        return self.code_bits(choice) + 8 * self.number_bytes(choice)

    def file_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes that the layer's weight takes in the packed file."""
        if choice.method == "float":
            return self.weights * self.element_bytes
        activations = 0 if choice.activation_bits is None else ACTIVATION_BYTES
        body = code_bytes(choice, self.weights) + self.number_bytes(choice)
        return record_bytes(choice) + activations + body
