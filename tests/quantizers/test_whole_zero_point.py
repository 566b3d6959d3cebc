"""Grids of whole zero points: the very numbers that files of other tools hold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.config import GroupSize, LayerChoice, Rounding
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor, quantize_zero_point
from rlquant.quantizers.groups import spread
from strategies import seeded, seeds, weights

HALF = torch.float16


@pytest.mark.parametrize(
    ("given", "expected", "zero", "step"),
    [
        ([-1.4, 0.0, 4.6], [-2.0, 0.0, 4.0], 1, 2.0),
        ([3.0, 2.2, 6.0], [2.0, 2.0, 6.0], 0, 2.0),
        ([-3.0, -2.2, -6.0], [-4.0, -2.0, -6.0], 3, 2.0),
        ([0.0, 0.0], [0.0, 0.0], 0, 0.0),
    ],
)
def test_two_bits_by_hand(
    given: list[float], expected: list[float], zero: int, step: float
) -> None:
    found = quantize_zero_point(torch.tensor(given), 2, group_size="tensor", scale_dtype=HALF)
    assert found.dequantize().tolist() == expected
    assert found.zero_point is not None
    assert found.scale is not None
    assert (found.zero_point.tolist(), found.scale.tolist()) == ([zero], [step])


def values(found: QuantizedTensor) -> torch.Tensor:
    """What other tools compute of the same numbers, in float32."""
    assert found.zero_point is not None
    assert found.scale is not None
    layout = (found.codes.shape, found.group_size, found.channel_axis)
    zero, scale = (spread(n.float(), *layout) for n in (found.zero_point, found.scale))
    return (found.codes.float() - zero) * scale


@settings(max_examples=25, deadline=None)
@given(
    w=weights(),
    bits=st.integers(1, 8),
    group_size=st.sampled_from(("channel", 4, "tensor")),
    seed=seeds,
)
def test_zero_points_are_codes_and_values_are_exact(
    w: torch.Tensor, bits: int, group_size: GroupSize, seed: int
) -> None:
    counts = torch.rand(w.shape, generator=seeded(seed))
    whole = quantize_zero_point(w, bits, group_size=group_size)
    narrow = quantize_zero_point(w, bits, group_size=group_size, importance=counts)
    half = quantize_zero_point(w, bits, group_size=group_size, importance=counts, scale_dtype=HALF)
    for found in (whole, narrow, half):
        assert found.zero_point is not None
        assert torch.equal(found.zero_point, found.zero_point.round())
        assert found.zero_point.min() >= 0
        assert found.zero_point.max() <= 2**bits - 1
    assert torch.equal(half.dequantize(), values(half))
    errors = [float((counts * (q.dequantize() - w).square()).sum()) for q in (narrow, whole)]
    assert errors[0] <= errors[1] * (1 + 1e-4) + 1e-12


@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "gptq"])
def test_every_rounding_keeps_them_whole(rounding: Rounding) -> None:
    w = torch.randn(6, 64, generator=seeded(0)) + 0.3
    inputs = torch.randn(200, 64, generator=seeded(1))
    choice = LayerChoice("l", 3, points="zero_point", group_size=32, rounding=rounding)
    matrix = (inputs.T @ inputs / 200)[None]
    found = quantize_weight(w, choice, moments=lambda: {"l": matrix})
    assert found.zero_point is not None
    assert torch.equal(found.zero_point, found.zero_point.round())
    assert found.scale is not None
    assert found.scale.dtype == HALF
    assert torch.equal(found.dequantize(), values(found))
    assert float((found.dequantize() - w).square().mean()) < 0.12
