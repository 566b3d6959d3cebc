"""Ranges of activations: never worse than the extremes, and never without all that is not zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.errors import QuantizationError, UnknownNameError
from rlquant.quantizers import ActivationQuantizer, activation_grid, activation_range
from rlquant.quantizers.activation_ranges import (
    DRAWN,
    LARGEST_KEPT,
    METHODS,
    FixedRange,
    LeastErrorRange,
)
from strategies import seeded, weights

WIDTHS = (2, 3, 4, 8, 16)


def squared_error(x: Tensor, ends: tuple[float, float], bits: int) -> float:
    quantized = ActivationQuantizer(bits, *activation_grid(*ends, bits))(x)
    return float((quantized.double() - x.double()).square().sum())


def sparse(count: int, share: float, seed: int) -> Tensor:
    x = torch.zeros(count)
    x[torch.rand(count, generator=seeded(seed)) < share] = 0.3
    return x


LARGE = {
    "normal": torch.randn(50_000, generator=seeded(0)),
    "rectified": torch.randn(50_000, generator=seeded(1)).relu(),
    "one sign": -torch.rand(50_000, generator=seeded(2)) - 3,
    "heavy tails": torch.randn(50_000, generator=seeded(3)) ** 5,
    "one outlier": torch.cat([torch.randn(50_000, generator=seeded(4)), torch.tensor([1e6])]),
    "nearly all zero": sparse(400_000, 1e-4, 5),
    "few values": torch.randint(0, 5, (50_000,), generator=seeded(6)).float(),
    "whole numbers": torch.randint(0, 256, (50_000,), generator=seeded(7)).float(),
    "constant": torch.full((50_000,), 0.1),
    "one of many": torch.zeros(50_000).index_fill(0, torch.tensor([17]), -2.0),
    "zero": torch.zeros(50_000),
}


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("name", LARGE)
def test_no_range_has_more_error_than_the_extremes(name: str, bits: int) -> None:
    x = LARGE[name]
    least = squared_error(x, activation_range(x, "mse").at(bits), bits)
    covering = squared_error(x, activation_range(x, "minmax").at(bits), bits)
    assert least <= covering * 1.02 + 1e-9


@settings(max_examples=60, deadline=None)
@given(x=weights(), bits=st.sampled_from(WIDTHS), method=st.sampled_from(tuple(METHODS)))
def test_what_is_not_zero_stays_in_the_range(x: Tensor, bits: int, method: str) -> None:
    low, high = activation_range(x, method).at(bits)  # type: ignore[arg-type]
    assert low <= high
    assert (low < 0 or high > 0) == bool((x != 0).any())
    if method == "mse":
        assert squared_error(x, (low, high), bits) <= squared_error(
            x, activation_range(x, "minmax").at(bits), bits
        ) * (1 + 1e-4)


@pytest.mark.parametrize("method", ["mse", "percentile"])
@pytest.mark.parametrize("bits", [8, 16])
def test_inputs_that_are_nearly_all_zero_change_next_to_nothing(method: str, bits: int) -> None:
    x = sparse(400_000, 1e-4, 5)
    ends = activation_range(x, method).at(bits)  # type: ignore[arg-type]
    quantized = ActivationQuantizer(bits, *activation_grid(*ends, bits))(x)
    torch.testing.assert_close(quantized, x, rtol=1e-4, atol=0)


def test_a_value_that_widens_the_grid_too_much_is_cut_off() -> None:
    x = torch.cat([torch.arange(4.0).repeat(1000), torch.tensor([3.5])])
    # At 2 bits 0..3.5 has steps of 7/6, which err by 1/36, 1/9 and 1/4 on 1, 2 and 3; 0..3 errs
    # by 0.5 on the last value alone.
    assert squared_error(x, (0.0, 3.5), 2) == pytest.approx(1000 * (1 / 36 + 1 / 9 + 1 / 4))
    low, high = activation_range(x).at(2)
    assert low == 0.0
    assert squared_error(x, (low, high), 2) < 2.0
    assert activation_range(x).at(16) == (0.0, 3.5)


def test_values_on_the_grid_of_the_extremes_keep_it() -> None:
    assert activation_range(torch.arange(256.0)).at(8) == (0.0, 255.0)
    assert activation_range(torch.arange(1.0, 16.0)).at(4) == (1.0, 15.0)


def test_percentiles_are_those_of_what_is_not_zero() -> None:
    x = torch.randn(20, 500, generator=seeded(0))
    padded = torch.cat([x, torch.zeros(500, 500)])
    expected = tuple(float(end) for end in np.percentile(x.double().numpy(), [0.1, 99.9]))
    for values in (x, padded):
        assert activation_range(values, "percentile").at(8) == pytest.approx(expected)


def test_extremes_are_the_range_of_all() -> None:
    x = torch.randn(20, 50, generator=seeded(0))
    assert activation_range(x, "minmax") == FixedRange(float(x.min()), float(x.max()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_float_type_has_a_range(dtype: torch.dtype) -> None:
    x = torch.randn(30_000, generator=seeded(0)).to(dtype)
    for method in METHODS:
        low, high = activation_range(x, method).at(8)
        assert -6 < low < -2
        assert 2 < high < 6


@pytest.mark.parametrize("scale", [3e38, 1e-38, 1e-44])
def test_a_range_may_be_as_large_or_small_as_float32(scale: float) -> None:
    x = torch.tensor([0.0, scale / 2, scale])
    ends = activation_range(x).at(8)
    quantized = ActivationQuantizer(8, *activation_grid(*ends, 8))(x)
    torch.testing.assert_close(quantized, x, rtol=0.01, atol=2e-45)


def test_the_inputs_looked_at_are_bounded_and_the_same_each_time() -> None:
    x = torch.randn(300_000, generator=seeded(0))
    first, again = LeastErrorRange.of(x), LeastErrorRange.of(x)
    assert len(first.values) == LARGEST_KEPT + DRAWN
    assert torch.equal(first.values, again.values)
    assert float(first.weights.sum()) == pytest.approx(300_000)
    assert first.at(4) == again.at(4)


def test_what_is_looked_at_does_not_change_with_the_inputs() -> None:
    x = torch.ones(8, dtype=torch.float64)
    found = LeastErrorRange.of(x)
    x.mul_(100)
    assert torch.equal(found.values, torch.ones(8, dtype=torch.float64))


def test_several_calls_are_one_collection_of_inputs() -> None:
    parts = [torch.randn(8_000, generator=seeded(seed)) * (1 + seed) for seed in range(5)]
    joined = LeastErrorRange.of(parts[0])
    for part in parts[1:]:
        joined = joined.joined(LeastErrorRange.of(part))
    whole = torch.cat(parts)
    assert len(joined.values) <= LARGEST_KEPT + DRAWN
    assert (joined.low, joined.high) == (float(whole.min()), float(whole.max()))
    for bits in (2, 4, 8):
        best = squared_error(whole, LeastErrorRange.of(whole).at(bits), bits)
        assert squared_error(whole, joined.at(bits), bits) < 1.1 * best
    extremes = FixedRange.of_extremes(parts[0]).joined(FixedRange.of_extremes(parts[4]))
    assert extremes.low == float(torch.cat([parts[0], parts[4]]).min())


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'minmax'"):
        activation_range(torch.ones(2), "min-max")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_activations_must_be_finite_floats(method: str) -> None:
    with pytest.raises(QuantizationError, match="1 of 1 activations are NaN or infinite"):
        activation_range(torch.tensor([math.nan]), method)  # type: ignore[arg-type]
    with pytest.raises(QuantizationError, match=r"activations are of type torch\.bool"):
        activation_range(torch.tensor([True]), method)  # type: ignore[arg-type]
