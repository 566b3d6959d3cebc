"""Groups in super-blocks: their scales are small multiples of one number, and little is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.quantizers import quantize_affine_step, quantize_super_blocks
from rlquant.quantizers.super_blocks import largest_multiple, super_block_numbers
from strategies import seeded, weights


def test_a_super_block_known_by_hand() -> None:
    """Of 15 / 63 times 63, 42 and 0; the least points -2 are 63 times 2 / 63."""
    w = torch.tensor([[-2.0, 13.0, -2.0, 8.0, 0.0, 0.0]])
    q = quantize_super_blocks(w, 4, mirrored=False, group_size=2)
    assert q.kind == "steps"
    assert q.scale is not None
    assert q.offset is not None
    d, dmin = (torch.tensor(x).half().float() for x in (1 / 63, 2 / 63))
    assert q.scale.tolist() == [float(63 * d), float(42 * d), 0.0]
    assert q.offset.tolist() == [float(-63 * dmin), float(-63 * dmin), 0.0]
    assert torch.allclose(q.dequantize(), w, atol=0.02)


@settings(max_examples=60, deadline=None)
@given(
    w=weights(), bits=st.integers(1, 8), mirrored=st.booleans(), size=st.sampled_from([2, 4, 32])
)
def test_numbers_are_recovered_from_their_products(
    w: torch.Tensor, bits: int, mirrored: bool, size: int
) -> None:
    q = quantize_super_blocks(w, bits, mirrored=mirrored, group_size=size)
    top = largest_multiple(bits, mirrored=mirrored)
    for numbers in (q.scale, None if q.offset is None else -q.offset):
        if numbers is not None:
            unit, steps = super_block_numbers(numbers.reshape(1, -1)[:, :1], top)
            assert torch.equal(unit.float()[:, None] * steps, numbers.reshape(1, -1)[:, :1])
            assert float(steps.abs().max()) <= top


@pytest.mark.parametrize("bits", [2, 4, 5])
def test_little_is_lost_against_scales_of_each_groups_own(bits: int) -> None:
    w = torch.randn(8, 512, generator=seeded(0))
    counts = torch.rand(8, 512, generator=seeded(1)).square()
    shared = quantize_super_blocks(w, bits, mirrored=False, group_size=16, importance=counts)
    own = quantize_affine_step(w, bits, group_size=16, importance=counts)
    errors = [float(((q.dequantize() - w).square() * counts).sum()) for q in (shared, own)]
    assert errors[0] < 1.2 * errors[1]


@pytest.mark.parametrize("mirrored", [False, True])
def test_errors_that_count_more_are_smaller(mirrored: bool) -> None:
    w = torch.randn(4, 256, generator=seeded(2))
    counts = torch.rand(4, 256, generator=seeded(3)) ** 4
    errors = [
        float(
            (quantize_super_blocks(w, 3, mirrored=mirrored, importance=each).dequantize() - w)
            .square()
            .mul(counts)
            .sum()
        )
        for each in (counts, None)
    ]
    assert errors[0] < 0.95 * errors[1]


def test_groups_without_least_points_may_be_turned_over() -> None:
    """The first has its largest weight above 0, the second below: the end of 4 takes both."""
    w = torch.tensor([[4.0, -3.0, 1.0, 0.0, -4.0, 3.0, -1.0, 0.0]])
    q = quantize_super_blocks(w, 3, mirrored=True, group_size=4)
    assert q.scale is not None
    assert q.scale[0] == -q.scale[1] < 0
    assert torch.allclose(q.dequantize(), w, rtol=1e-3)
