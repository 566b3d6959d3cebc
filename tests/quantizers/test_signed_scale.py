"""Scales of either sign: less error than with positive ones, and the same rounding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.quantizers import QuantizedTensor, quantize_integer, quantize_signed_scale
from rlquant.rounding.coordinate_descent import descend
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.learned import learn
from rlquant.rounding.refit import refit_scales
from strategies import seeded


def test_the_weight_of_largest_magnitude_lies_at_the_end_that_reaches_further() -> None:
    up = torch.tensor([[4.0, -3.0, 1.0, 0.0]])
    for weight, scale in ((up, -1.0), (-up, 1.0)):
        found = quantize_signed_scale(weight, 3, group_size=4)
        assert found.scale is not None
        assert found.scale.tolist() == [scale]
        assert torch.equal(found.dequantize(), weight)


def test_a_group_of_zeros_has_scale_0() -> None:
    found = quantize_signed_scale(torch.zeros(2, 4), 4, group_size=2)
    assert found.scale is not None
    assert not found.scale.any()
    assert not found.dequantize().any()


@pytest.mark.parametrize(("bits", "share"), [(2, 0.85), (3, 0.85), (4, 0.92), (5, 0.95)])
def test_the_error_is_less_than_with_positive_scales(bits: int, share: float) -> None:
    weight = torch.randn(64, 256, generator=seeded(0))
    importance = torch.rand(64, 256, generator=seeded(1)).square()
    errors = [
        float((q.dequantize() - weight).square().mul(importance).sum())
        for q in (
            quantize_signed_scale(weight, bits, group_size=32, importance=importance),
            quantize_integer(weight, bits, group_size=32, clip=True, importance=importance),
        )
    ]
    assert errors[0] < share * errors[1]


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 99), bits=st.integers(2, 5))
def test_what_is_turned_over_is_rounded_alike(seed: int, bits: int) -> None:
    """Weights and scales with the other sign: every rounding by outputs takes the same codes."""
    weight = torch.randn(3, 8, generator=seeded(seed))
    inputs = torch.randn(40, 8, generator=seeded(seed + 1))
    moments = (inputs.T @ inputs / 40)[None]
    upright = quantize_integer(weight, bits, group_size=4, clip=True)
    assert upright.scale is not None
    turned = replace(upright, scale=-upright.scale)
    ways = (
        feed_back,
        descend,
        lambda w, q, m: learn(w, q, m, seeded(0)),
        lambda w, q, m: refit_scales(w, q, m),
    )
    for way in ways:
        one: QuantizedTensor = way(weight, upright, moments)
        other: QuantizedTensor = way(-weight, turned, moments)
        assert torch.equal(other.dequantize(), -one.dequantize())
