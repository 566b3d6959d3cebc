"""Sizes in bits and bytes of each part of a quantized network, known before quantization.

The packed file (`export/packed.py`) follows these formulas to the byte; tests hold them equal.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlquant.config import STORED_CODEBOOKS, GroupSize, LayerChoice
from rlquant.quantizers.groups import to_rows
from rlquant.quantizers.tensor import TERNARY_CODES_PER_BYTE, storage_dtype

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


class NumberCounts(NamedTuple):
    """How many scales, offsets and codebook values a quantized layer stores."""

    scales: int
    offsets: int
    values: int

    @classmethod
    def of(cls, choice: LayerChoice, groups: int) -> NumberCounts:
        """Count them for a weight cut into so many groups.

        A ternary layer stores -Wn and +Wp, a fixed-point one has one scale per tensor.
        """
        if choice.method == "ternary":
            return cls(0, 0, 2)
        if choice.points == "fixed_point":
            return cls(1, 0, 0)
        if choice.points in ("symmetric", "clipped"):
            return cls(groups, 0, 0)
        return cls(groups, groups, 2**choice.bits if choice.points in STORED_CODEBOOKS else 0)


def code_bytes(choice: LayerChoice, weights: int) -> int:
    """Return the bytes of the codes in the file: blocks of eight (ternary: five) codes."""
    if choice.method == "ternary":
        return -(-weights // TERNARY_CODES_PER_BYTE)
    return -(-weights // 8) * choice.bits


class GroupFacts(NamedTuple):
    """What the size of a weight depends on once its groups are chosen.

    Attributes:
        groups: number of groups.
        smallest: smallest non-zero over the groups of max |w|; 0 if all are zero.
        largest: largest of the same, the tensor's max |w|.
    """

    groups: int
    smallest: float
    largest: float

    @classmethod
    def of(cls, weight: Tensor, group_size: GroupSize, channel_axis: int) -> GroupFacts:
        """Read the facts off a weight."""
        magnitudes = to_rows(weight.detach(), group_size, channel_axis).abs().amax(dim=1)
        present = magnitudes[magnitudes > 0]
        smallest = float(present.min()) if len(present) else 0.0
        return cls(len(magnitudes), smallest, float(magnitudes.max()))


class LayerStorage:
    """The stored size of one layer's weight under any choice.

    Args:
        weight: of the float network; it is read when a group size is first asked about.
        channel_axis: output-channel axis of the weight.

    Attributes:
        weights: number of weights.
        element_bytes: bytes of one weight of the float network.
    """

    def __init__(self, weight: Tensor, channel_axis: int = 0) -> None:
        self.weights, self.element_bytes = weight.numel(), weight.element_size()
        self._weight, self._channel_axis = weight, channel_axis
        self._facts: dict[GroupSize, GroupFacts] = {}

    def facts(self, choice: LayerChoice) -> GroupFacts:
        """Return the facts of the groups that share a scale; the tensor where there is but one."""
        one_scale = choice.method == "ternary" or choice.points == "fixed_point"
        size: GroupSize = "tensor" if one_scale else choice.group_size
        if size not in self._facts:
            self._facts[size] = GroupFacts.of(self._weight, size, self._channel_axis)
        return self._facts[size]

    def code_bits(self, choice: LayerChoice) -> int:
        """Return the bits of the codes; ternary ones are stored five to a byte."""
        if choice.method == "ternary":
            return 8 * -(-self.weights // TERNARY_CODES_PER_BYTE)
        return self.weights * choice.bits

    def scale_dtype(self, choice: LayerChoice) -> torch.dtype:
        """Return the type in which the layer's scales, offsets and codebook are stored."""
        facts = self.facts(choice)
        offset = NumberCounts.of(choice, 1).offsets > 0
        return storage_dtype(facts.smallest, facts.largest, choice.bits, offset=offset)

    def number_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes of the scales, offsets and stored codebook."""
        counts = NumberCounts.of(choice, self.facts(choice).groups)
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
