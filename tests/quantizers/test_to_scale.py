"""Integer grids whose scales are given, as training keeps them while the weights move."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.config import GroupSize, Rounding
from rlquant.errors import QuantizationError
from rlquant.quantizers import quantize_integer, quantize_to_scale
from strategies import seeded, seeds, weights

group_sizes = st.sampled_from(("channel", 1, 4, "tensor"))


def test_values_saturate_and_ties_go_down() -> None:
    w = torch.tensor([-1.3, -0.26, -0.125, 0.1, 0.125, 0.25, 0.9])
    q = quantize_to_scale(w, torch.tensor([0.25]), 3, group_size="tensor")
    assert q.dequantize().tolist() == [-1.0, -0.25, -0.25, 0.0, 0.0, 0.25, 0.75]
    assert q.codes.tolist() == [0, 3, 3, 4, 4, 5, 7]
    assert (q.kind, q.bits, q.offset, q.values) == ("integer", 3, None, None)


def test_every_group_has_its_scale() -> None:
    w = torch.tensor([[1.0, -2.0], [1.0, -2.0]])
    channels = quantize_to_scale(w, torch.tensor([1.0, 4.0]), 2)
    assert channels.dequantize().tolist() == [[1, -2], [0, -4]]
    last = quantize_to_scale(w, torch.tensor([1.0, 4.0]), 2, channel_axis=1)
    assert last.dequantize().tolist() == [[1, -4], [1, -4]]
    one_each = quantize_to_scale(w, torch.tensor([1.0, 2.0, 4.0, 1.0]), 2, group_size=1)
    assert one_each.dequantize().tolist() == [[1, -2], [0, -2]]


@settings(max_examples=40, deadline=None)
@given(
    w=weights(),
    bits=st.integers(1, 8),
    group_size=group_sizes,
    rounding=st.sampled_from(("nearest", "stochastic")),
    clip=st.booleans(),
    dtype=st.sampled_from((torch.float16, torch.float32)),
    seed=seeds,
)
def test_at_the_scales_of_a_grid_it_gives_that_grid(
    w: Tensor,
    bits: int,
    group_size: GroupSize,
    rounding: Rounding,
    clip: bool,
    dtype: torch.dtype,
    seed: int,
) -> None:
    before = w.clone()
    found = quantize_integer(
        w,
        bits,
        group_size=group_size,
        clip=clip,
        rounding=rounding,
        generator=seeded(seed),
        scale_dtype=dtype,
    )
    assert found.scale is not None
    again = quantize_to_scale(
        w, found.scale, bits, group_size=group_size, rounding=rounding, generator=seeded(seed)
    )
    assert torch.equal(again.codes, found.codes)
    assert torch.equal(again.dequantize(), found.dequantize())
    assert again.scale is not None
    assert again.scale.dtype == dtype
    assert again.size_bits() == found.size_bits()
    assert torch.equal(w, before)


@settings(max_examples=20, deadline=None)
@given(w=weights(), bits=st.integers(1, 8), factor=st.floats(0.1, 3))
def test_whatever_the_weights_are_they_take_points_of_the_grid(
    w: Tensor, bits: int, factor: float
) -> None:
    scale = torch.tensor([factor])
    values = quantize_to_scale(w, scale, bits, group_size="tensor").dequantize()
    half = 2 ** (bits - 1)
    grid = torch.arange(-half, half) * scale
    nearest = grid[(w[..., None] - grid).abs().argmin(dim=-1)]
    torch.testing.assert_close((values - w).abs(), (nearest - w).abs(), rtol=0, atol=1e-5)
    assert torch.isin(values, grid).all()


@pytest.mark.parametrize(
    "scale",
    [
        torch.ones(3),
        torch.ones(1),
        torch.tensor(1.0),
        torch.ones(2, 1),
        torch.tensor([1.0, 0.0]),
        torch.tensor([1.0, -1.0]),
        torch.tensor([1.0, math.nan]),
        torch.tensor([1.0, math.inf]),
    ],
)
def test_wrong_scales_are_refused(scale: Tensor) -> None:
    with pytest.raises(QuantizationError, match="one finite number above 0 for each of 2 groups"):
        quantize_to_scale(torch.ones(2, 3), scale, 4)


def test_what_every_quantizer_refuses_is_refused() -> None:
    one = torch.ones(1)
    for bad, words in (
        (lambda: quantize_to_scale(torch.tensor([math.nan]), one, 4), "NaN or infinite"),
        (lambda: quantize_to_scale(torch.ones(3), one, 17, group_size="tensor"), r"in 1\.\.16"),
        (lambda: quantize_to_scale(torch.ones(3), one, 4, group_size=0), "group_size=0"),
        (
            lambda: quantize_to_scale(torch.ones(1), one, 4, rounding="stochastic"),
            "needs randomness",
        ),
        (lambda: quantize_to_scale(torch.ones(1), one, 4, rounding="learned"), "not available"),
    ):
        with pytest.raises(QuantizationError, match=words):
            bad()
