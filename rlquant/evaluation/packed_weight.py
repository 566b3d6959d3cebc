"""Quantized weights with codes of up to 4 bits packed, as they are kept for long."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeight:
    """A quantized weight whose codes share bytes where two or four of them fit in one.

    Attributes:
        codes: in one dimension; in a byte are codes that lie far apart in the weight.
        shape: of the weight.
        rest: the weight without codes.
    """

    codes: Tensor
    shape: torch.Size
    rest: QuantizedTensor

    @classmethod
    def of(cls, weight: QuantizedTensor) -> PackedWeight:
        """Pack a quantized weight."""
        codes, together = weight.codes.reshape(-1), _codes_in_a_byte(weight.bits)
        parts = torch.split(codes, max(1, -(-len(codes) // together)))
        packed = parts[0].clone()
        for number, part in enumerate(parts[1:], start=1):
            packed[: len(part)] |= part << number * (8 // together)
        return cls(packed, weight.codes.shape, replace(weight, codes=codes.new_empty(0)))

    def unpacked(self) -> QuantizedTensor:
        """Return the quantized weight, its codes in memory of their own."""
        together = _codes_in_a_byte(self.rest.bits)
        codes = self.codes.new_empty(self.shape.numel())
        width = 8 // together
        for number, part in enumerate(torch.split(codes, max(1, len(self.codes)))):
            part.copy_(self.codes[: len(part)])
            if together > 1:
                part.bitwise_right_shift_(number * width).bitwise_and_(2**width - 1)
        return replace(self.rest, codes=codes.reshape(self.shape))

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        rest = (self.rest.scale, self.rest.offset, self.rest.zero_point, self.rest.values)
        return self.codes.nbytes + sum(each.nbytes for each in rest if each is not None)


def code_bytes(count: int, bits: int) -> int:
    """Return the bytes of so many packed codes."""
    return count * 4 if bits > 8 else -(-count // _codes_in_a_byte(bits))


def _codes_in_a_byte(bits: int) -> int:
    """Return how many codes share a byte; 1 where they are as they were, also above 8 bits."""
    return 4 if bits <= 2 else 2 if bits <= 4 else 1
