from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.errors import QuantizationError
from rlquant.quantizers import quantize_fixed_point
from strategies import seeded, seeds, weights

widths = st.tuples(st.integers(1, 8), st.integers(0, 16))


@settings(max_examples=40, deadline=None)
@given(x=weights(limit=300.0), width=widths)
def test_nearest_agrees_with_exact_arithmetic(x: Tensor, width: tuple[int, int]) -> None:
    integer_bits, fraction_bits = width
    before = x.clone()
    y = quantize_fixed_point(x, integer_bits, fraction_bits)
    step = 2.0**-fraction_bits
    edge = 2.0 ** (integer_bits - 1)
    exact = (torch.ceil(x.double() / step - 0.5) * step).clamp(-edge, edge - step)
    assert torch.equal(y.double(), exact)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert torch.equal(quantize_fixed_point(y, *width), y)
    assert torch.equal(x, before)


@settings(max_examples=40, deadline=None)
@given(x=weights(limit=300.0), width=widths, seed=seeds)
def test_stochastic_stays_within_a_step_and_never_moves_grid_points(
    x: Tensor, width: tuple[int, int], seed: int
) -> None:
    y = quantize_fixed_point(x, *width, rounding="stochastic", generator=seeded(seed))
    edge, step = 2.0 ** (width[0] - 1), 2.0 ** -width[1]
    inside = (x >= -edge) & (x <= edge - step)
    assert ((y - x).abs()[inside] < step).all()
    again = quantize_fixed_point(y, *width, rounding="stochastic", generator=seeded(seed + 1))
    assert torch.equal(again, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_float_type_is_kept(dtype: torch.dtype) -> None:
    x = torch.tensor([0.3, -2.5, 60000.0], dtype=dtype)
    y = quantize_fixed_point(x, 4, 4)
    assert y.dtype == dtype
    assert y.tolist() == [0.3125, -2.5, float(torch.tensor(7.9375, dtype=dtype))]


def test_the_memory_layout_is_kept() -> None:
    x = torch.rand(2, 3, 4, 5, generator=seeded(0)).contiguous(memory_format=torch.channels_last)
    for rounding in ("nearest", "stochastic"):
        y = quantize_fixed_point(x, 2, 4, rounding=rounding, generator=seeded(0))
        assert y.stride() == x.stride()


def test_parameters_are_detached() -> None:
    x = torch.nn.Parameter(torch.ones(2))
    assert not quantize_fixed_point(x, 4, 4).requires_grad


@pytest.mark.parametrize("width", [(0, 4), (4, -1), (20, 13), (2.0, 2), (True, 2)])
def test_wrong_formats_are_refused(width: tuple[int, int]) -> None:
    with pytest.raises(QuantizationError, match="integer_bits >= 1"):
        quantize_fixed_point(torch.ones(2), *width)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_must_be_finite(bad: float) -> None:
    with pytest.raises(QuantizationError, match="1 of 1 values are NaN or infinite"):
        quantize_fixed_point(torch.tensor([bad]), 4, 4)


def test_stochastic_needs_a_generator() -> None:
    with pytest.raises(QuantizationError, match="pass generator"):
        quantize_fixed_point(torch.ones(2), 4, 4, rounding="stochastic")
