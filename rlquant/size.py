"""How many bits and bytes each part of a quantized network takes, before it is quantized.

The packed file (`export/packed.py`) follows these formulas to the byte; tests hold them equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.choices import STORED_CODEBOOKS, BucketSize, LayerChoice
from rlquant.quantizers.buckets import to_rows
from rlquant.quantizers.tensor import TERNARY_CODES_PER_BYTE, storage_dtype

LAYER_RECORD_BYTES = 8
"""A quantized layer's record: method, rounding, points, bits and so on; see `export/packed.py`."""
ACTIVATION_BYTES = 6
"""A float32 scale and an unsigned 16-bit zero point."""


@dataclass(frozen=True, slots=True)
class LayerStorage:
    """What decides the stored size of one layer's weight.

    Attributes:
        weights: number of weights.
        buckets: number of buckets.
        smallest: smallest non-zero over the buckets of max |w|; 0 if all are zero.
        largest: largest of the same, the tensor's max |w|.
        element_bytes: bytes of one weight of the float network.
    """

    weights: int
    buckets: int
    smallest: float
    largest: float
    element_bytes: int = 4

    @classmethod
    def of(cls, weight: Tensor, bucket_size: BucketSize, channel_axis: int) -> LayerStorage:
        """Read the facts off a weight."""
        magnitudes = to_rows(weight.detach(), bucket_size, channel_axis).abs().amax(dim=1)
        present = magnitudes[magnitudes > 0]
        return cls(
            weights=weight.numel(),
            buckets=len(magnitudes),
            smallest=float(present.min()) if len(present) else 0.0,
            largest=float(magnitudes.max()),
            element_bytes=weight.element_size(),
        )

    def code_bits(self, choice: LayerChoice) -> int:
        """Return the bits of the codes; ternary ones are stored five to a byte."""
        if choice.method == "ternary":
            return 8 * -(-self.weights // TERNARY_CODES_PER_BYTE)
        return self.weights * choice.bits

    def code_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes of the codes in the file: blocks of eight codes, see `export`."""
        if choice.method == "ternary":
            return -(-self.weights // TERNARY_CODES_PER_BYTE)
        return -(-self.weights // 8) * choice.bits

    def _numbers(self, choice: LayerChoice) -> tuple[int, float]:
        """Return how many scales, offsets and codebook values are stored, and the smallest."""
        if choice.method == "ternary":
            return 2, self.largest
        if choice.points == "fixed_point":
            return 1, self.largest
        if choice.points in ("symmetric", "clipped"):
            return self.buckets, self.smallest
        stored = 2**choice.bits if choice.points in STORED_CODEBOOKS else 0
        return 2 * self.buckets + stored, self.smallest

    def scale_dtype(self, choice: LayerChoice) -> torch.dtype:
        """Return the type in which the layer's scales, offsets and codebook are stored."""
        return storage_dtype(self._numbers(choice)[1], self.largest, choice.bits)

    def number_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes of the scales, offsets and stored codebook."""
        return self._numbers(choice)[0] * self.scale_dtype(choice).itemsize

    def bits(self, choice: LayerChoice) -> int:
        """Return the bits that `average_bits` counts: codes, scales, offsets, stored codebook."""
        if choice.method == "keep":
            return self.weights * 8 * self.element_bytes
        return self.code_bits(choice) + 8 * self.number_bytes(choice)

    def file_bytes(self, choice: LayerChoice) -> int:
        """Return the bytes that the layer's weight takes in the packed file."""
        if choice.method == "keep":
            return self.weights * self.element_bytes
        activations = 0 if choice.activation_bits is None else ACTIVATION_BYTES
        body = self.code_bytes(choice) + self.number_bytes(choice)
        return LAYER_RECORD_BYTES + activations + body
