from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.quantizers import quantize_fixed_point
from rlquant.training.fixed_point.number_format import NumberFormat, convert
from strategies import seeded, seeds, weights

formats = st.builds(NumberFormat, st.integers(1, 12), st.integers(0, 20))


@settings(max_examples=150, deadline=None)
@given(x=weights(limit=300.0), number_format=formats, seed=seeds)
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_the_fast_conversion_is_quantize_fixed_point_to_the_bit(
    x: Tensor, number_format: NumberFormat, seed: int, rounding: str
) -> None:
    x = x.double() / 3
    before = x.clone()
    bits = (number_format.integer_bits, number_format.fraction_bits)
    slow = quantize_fixed_point(x, *bits, rounding=rounding, generator=seeded(seed))
    outside = torch.zeros((), dtype=torch.float64)
    fast = convert(x, number_format, rounding, seeded(seed), outside)
    assert torch.equal(fast.view(torch.int64), slow.view(torch.int64))
    assert fast.stride() == slow.stride()
    assert torch.equal(x, before)
    unlimited = convert(x, NumberFormat(32, bits[1]), rounding, seeded(seed))
    assert int(outside) == int((fast != unlimited).sum())


@pytest.mark.parametrize(
    ("bits", "lowest", "highest"),
    [
        ((8, 8), -128, 127.99609375),
        ((2, 14), -2, 1.99993896484375),
        ((4, 12), -8, 7.999755859375),
        ((6, 10), -32, 31.9990234375),
    ],
)
def test_ranges(bits: tuple[int, int], lowest: float, highest: float) -> None:
    number_format = NumberFormat(*bits)
    assert (number_format.lowest, number_format.highest) == (lowest, highest)
    far = torch.tensor([-1e9, 1e9, lowest, highest], dtype=torch.float64)
    assert convert(far, number_format, "nearest").tolist() == [lowest, highest, lowest, highest]
    outside = torch.zeros((), dtype=torch.float64)
    convert(far, number_format, "nearest", saturated=outside)
    assert int(outside) == 2


def test_nan_stays_and_infinity_saturates() -> None:
    x = torch.tensor([math.nan, math.inf, -math.inf], dtype=torch.float64)
    for rounding in ("nearest", "stochastic"):
        y = convert(x, NumberFormat(2, 2), rounding, seeded(0))
        assert math.isnan(float(y[0]))
        assert float(y[2]) == -2.0
    assert float(convert(x, NumberFormat(2, 2), "nearest")[1]) == 1.75


def test_one_conversion_of_a_wide_sum_differs_from_one_per_product() -> None:
    products = torch.full((4,), 0.6, dtype=torch.float64) * 0.5
    number_format = NumberFormat(4, 2)
    assert float(convert(products.sum(), number_format, "nearest")) == 1.25
    assert float(convert(products, number_format, "nearest").sum()) == 1.0
