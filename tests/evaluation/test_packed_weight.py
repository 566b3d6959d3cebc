"""Packed weights are the same weights, in the bytes that their codes need."""

from __future__ import annotations

import pytest
import torch

from rlquant.evaluation.packed_weight import PackedWeight
from rlquant.quantizers import quantize_integer
from strategies import seeded


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 2, 3, 3)])
@pytest.mark.parametrize(("bits", "share"), [(1, 4), (2, 4), (3, 2), (4, 2), (5, 1), (8, 1)])
def test_codes_of_few_bits_share_bytes(shape: tuple[int, ...], bits: int, share: int) -> None:
    weight = torch.randn(shape, generator=seeded(bits))
    plain = quantize_integer(weight, bits)
    packed = PackedWeight.of(plain)
    assert packed.codes.nbytes == -(-weight.numel() // share)
    found = packed.unpacked()
    assert torch.equal(found.codes, plain.codes)
    assert torch.equal(found.dequantize(), plain.dequantize())


def test_codes_are_copies_both_ways() -> None:
    plain = quantize_integer(torch.randn(4, 6, generator=seeded(0)), 12)
    kept = plain.codes.clone()
    packed = PackedWeight.of(plain)
    plain.codes.zero_()
    packed.unpacked().codes.zero_()
    assert torch.equal(packed.unpacked().codes, kept)
    assert packed.codes.dtype == torch.int32


def test_the_memory_is_that_of_codes_scales_and_offsets() -> None:
    plain = quantize_integer(torch.randn(4, 8, generator=seeded(0)), 4, group_size=4)
    assert plain.scale is not None
    assert PackedWeight.of(plain).nbytes == 16 + plain.scale.nbytes
