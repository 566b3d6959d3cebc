"""Affine grids with a zero point: 0 is one of the points, and weights lose at most half a step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.config import GroupSize, LayerChoice
from rlquant.errors import QuantizationError
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor, quantize_affine
from rlquant.quantizers.affine_range import AffineRange, whole_range
from rlquant.quantizers.groups import spread
from strategies import seeded, seeds, weights

group_sizes = st.sampled_from(("channel", 4, 1000, "tensor"))
number_types = st.sampled_from((torch.float32, torch.float16))


def zero_point(w: Tensor, bits: int, group_size: GroupSize = "tensor") -> QuantizedTensor:
    return quantize_affine(w, bits, group_size=group_size, zero_point=True)


@pytest.mark.parametrize(
    ("given", "expected", "zero", "scale"),
    [
        # The step is 2; -1.4 is 0.7 of it below 0, so one point is.
        ([-1.4, 0.0, 4.6], [-2.0, 0.0, 4.0], 1, 6.0),
        # The step is 1; a tie of the zero point goes up, ties of weights go down.
        ([-0.5, 0.0, 2.5], [-1.0, 0.0, 2.0], 1, 3.0),
        # Weights on one side of 0: the range reaches to 0.
        ([3.0, 2.2, 6.0], [2.0, 2.0, 6.0], 0, 6.0),
        ([-3.0, -2.2, -6.0], [-4.0, -2.0, -6.0], 3, 6.0),
        ([0.25, 0.25, 0.25], [0.25, 0.25, 0.25], 0, 0.25),
        ([-0.25, -0.25], [-0.25, -0.25], 3, 0.25),
        ([0.0, 0.0], [0.0, 0.0], 0, 0.0),
    ],
)
def test_two_bits_by_hand(
    given: list[float], expected: list[float], zero: int, scale: float
) -> None:
    found = zero_point(torch.tensor(given), 2)
    torch.testing.assert_close(found.dequantize(), torch.tensor(expected), rtol=1e-6, atol=0)
    assert found.zero_point is not None
    assert found.scale is not None
    assert (found.zero_point.tolist(), found.scale.tolist()) == ([zero], [scale])


def test_small_weights_beside_an_outlier_stay_at_zero() -> None:
    w = torch.tensor([0.1, -0.1, 0.05, -0.05, 10])
    assert zero_point(w, 2).dequantize().tolist()[:4] == [0, 0, 0, 0]


@settings(max_examples=60, deadline=None)
@given(
    w=weights(),
    bits=st.integers(1, 10),
    group_size=group_sizes,
    number_type=number_types,
    rounding=st.sampled_from(("nearest", "stochastic")),
    seed=seeds,
)
def test_zero_stays_zero(
    w: Tensor, bits: int, group_size: GroupSize, number_type: torch.dtype, rounding: str, seed: int
) -> None:
    w = w * (torch.rand(w.shape, generator=seeded(seed)) < 0.7)
    found = quantize_affine(
        w,
        bits,
        group_size=group_size,
        scale_dtype=number_type,
        rounding=rounding,  # type: ignore[arg-type]
        generator=seeded(seed),
        zero_point=True,
    )
    assert not found.dequantize()[w == 0].any()
    assert found.zero_point is not None
    assert found.zero_point.dtype == number_type
    assert torch.equal(found.zero_point, found.zero_point.round())


@settings(max_examples=60, deadline=None)
@given(w=weights(), bits=st.integers(1, 10), group_size=group_sizes, number_type=number_types)
def test_no_weight_errs_by_more_than_half_a_step(
    w: Tensor, bits: int, group_size: GroupSize, number_type: torch.dtype
) -> None:
    found = quantize_affine(
        w, bits, group_size=group_size, scale_dtype=number_type, zero_point=True
    )
    assert found.scale is not None
    step = spread(found.scale.float(), w.shape, group_size) / (2**bits - 1)
    rounding_error = 2.0**-21 * float(w.abs().max())
    assert ((found.dequantize() - w).abs() <= step / 2 + rounding_error).all()


@settings(max_examples=30, deadline=None)
@given(w=weights(), bits=st.integers(1, 12), group_size=group_sizes)
def test_a_copy_in_float64_is_quantized_alike(w: Tensor, bits: int, group_size: GroupSize) -> None:
    choice = LayerChoice("any", bits, points="affine", group_size=group_size)
    one, other = quantize_weight(w, choice), quantize_weight(w.double(), choice)
    for mine, theirs in zip((one.codes, *one.numbers), (other.codes, *other.numbers), strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(one.dequantize(), other.dequantize())


@settings(max_examples=30, deadline=None)
@given(w=weights(), bits=st.integers(1, 8), group_size=group_sizes, seed=seeds)
def test_a_range_that_is_searched_is_never_worse(
    w: Tensor, bits: int, group_size: GroupSize, seed: int
) -> None:
    counts = torch.rand(w.shape, generator=seeded(seed))
    ulp = 2 * torch.finfo(w.dtype).eps * w.abs().max()  # of scales and of what they are times codes
    found = quantize_affine(w, bits, group_size=group_size, importance=counts, zero_point=True)
    for plain in (zero_point(w, bits, group_size), quantize_affine(w, bits, group_size=group_size)):
        errors = [((q.dequantize() - w).square() * counts).sum() for q in (found, plain)]
        assert errors[0] <= errors[1] * 1.0001 + counts.sum() * ulp.square()


def test_a_whole_zero_point_that_was_moved_nowhere_is_the_same() -> None:
    rows = torch.randn(50, 16, generator=seeded(0))
    start = whole_range(rows, 4, torch.float16, zero_point=True)
    again = start.moved(start.scale.float(), start.offset)
    assert torch.equal(again.second, start.second)
    assert torch.equal(again.offset, start.offset)


def test_numbers_that_follow_from_a_zero_point_are_those_of_the_values() -> None:
    w = torch.randn(6, 20, generator=seeded(0))
    found = zero_point(w, 3, "channel")
    assert found.scale is not None
    assert found.zero_point is not None
    ranges = AffineRange(3, found.scale, found.zero_point, has_zero_point=True)
    assert found.offset is not None
    assert torch.equal(found.offset, ranges.offset)
    assert found.size_bits() == 120 * 3 + 6 * 2 * 32


def test_float16_that_cannot_hold_a_zero_point_is_refused() -> None:
    with pytest.raises(QuantizationError, match="zero points of at most 11 bits, not 12"):
        quantize_affine(torch.ones(4), 12, scale_dtype=torch.float16, zero_point=True)
