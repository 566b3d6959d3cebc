"""Sizes in bits and bytes of each part of a quantized network, known before quantization.

The packed file (`export/packed.py`) follows these formulas to the byte; tests hold them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rlquant.config import STORED_CODEBOOKS, GroupSize, LayerChoice
from rlquant.quantizers.groups import to_rows
from rlquant.quantizers.tensor import TERNARY_CODES_PER_BYTE, storage_dtype

LAYER_RECORD_BYTES = 8
"""A quantized layer's record: method, points, bits and so on, as in `export/contents.py`."""
ACTIVATION_BYTES = 6
"""A float32 scale and an unsigned 16-bit zero point."""


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


@dataclass(frozen=True, slots=True)
class LayerStorage:
    """What decides the stored size of one layer's weight.

    Attributes:
        weights: number of weights.
        groups: number of groups.
        smallest: smallest non-zero over the groups of max |w|; 0 if all are zero.
        largest: largest of the same, the tensor's max |w|.
        element_bytes: bytes of one weight of the float network.
    """

    weights: int
    groups: int
    smallest: float
    largest: float
    element_bytes: int = 4

    @classmethod
    def of(cls, weight: Tensor, group_size: GroupSize, channel_axis: int) -> LayerStorage:
        """Read the facts off a weight."""
        magnitudes = to_rows(weight.detach(), group_size, channel_axis).abs().amax(dim=1)
        present = magnitudes[magnitudes > 0]
        return cls(
            weights=weight.numel(),
            groups=len(magnitudes),
            smallest=float(present.min()) if len(present) else 0.0,
            largest=float(magnitudes.max()),
            element_bytes=weight.element_size(),
        )

    def code_bits(self, choice: LayerChoice) -> int:
        """Return the bits of the codes; ternary ones are stored five to a byte."""
        if choice.method == "ternary":
            return 8 * -(-self.weights // TERNARY_CODES_PER_BYTE)
        return self.weights * choice.bits

    def scale_dtype(self, choice: LayerChoice) -> torch.dtype:
        """Return the type in which the layer's scales, offsets and codebook are stored."""
        one_scale = choice.method == "ternary" or choice.points == "fixed_point"
        smallest = self.largest if one_scale else self.smallest
        offset = NumberCounts.of(choice, 1).offsets > 0
        return storage_dtype(smallest, self.largest, choice.bits, offset=offset)

    def number_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes of the scales, offsets and stored codebook."""
        return sum(NumberCounts.of(choice, self.groups)) * self.scale_dtype(choice).itemsize

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
        return LAYER_RECORD_BYTES + activations + body
