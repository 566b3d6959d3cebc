from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.errors import QuantizationError
from rlquant.quantizers import ActivationQuantizer, activation_grid
from rlquant.quantizers.activation import SMALLEST
from strategies import weights

ends = st.floats(-100, 100)


def onnx_fake_quantize(x: Tensor, scale: float, zero_point: int, bits: int) -> np.ndarray:
    """QuantizeLinear and DequantizeLinear as the ONNX operators define them."""
    steps = np.rint(x.numpy() / np.float32(scale)) + zero_point
    return ((np.clip(steps, 0, 2**bits - 1) - zero_point) * np.float32(scale)).astype(np.float32)


def test_unsigned_range() -> None:
    assert activation_grid(0.0, 25.5, 8) == (float(np.float32(0.1)), 0)
    assert activation_grid(1.0, 3.0, 2) == (1.0, 0)  # widened to 0


def test_signed_range() -> None:
    assert activation_grid(-1.0, 2.0, 2) == (1.0, 1)
    assert activation_grid(-3.0, -1.0, 2) == (1.0, 3)


def test_a_range_without_width_has_scale_one() -> None:
    assert activation_grid(0.0, 0.0, 8) == (1.0, 0)
    assert activation_grid(0.0, 1e-50, 8) == (1.0, 0)  # no number above 0 in float32


def test_a_range_of_the_smallest_numbers_has_their_distance_as_scale() -> None:
    assert activation_grid(0.0, 1e-44, 16) == (SMALLEST, 0)
    assert activation_grid(-1e-44, 1e-44, 16) == (SMALLEST, 7)


@settings(max_examples=40, deadline=None)
@given(a=ends, b=ends, bits=st.integers(2, 16))
def test_the_grid_covers_the_range_and_zero(a: float, b: float, bits: int) -> None:
    low, high = min(a, b), max(a, b)
    scale, zero_point = activation_grid(low, high, bits)
    assert 0 <= zero_point < 2**bits
    slack = scale / 2 + 1e-5 * (high - low + 1)
    assert -zero_point * scale <= low + slack
    assert (2**bits - 1 - zero_point) * scale >= high - slack


@settings(max_examples=40, deadline=None)
@given(x=weights(), bits=st.integers(2, 16))
def test_fake_quantization_is_what_onnx_defines(x: Tensor, bits: int) -> None:
    before = x.clone()
    scale, zero_point = activation_grid(-2.0, 5.0, bits)
    y = ActivationQuantizer(bits, scale, zero_point)(x)
    assert np.array_equal(y.numpy(), onnx_fake_quantize(x, scale, zero_point, bits))
    assert y.shape == x.shape
    assert torch.equal(x, before)
    assert torch.equal(ActivationQuantizer(bits, scale, zero_point)(y), y)


def test_ties_go_to_the_even_integer() -> None:
    quantizer = ActivationQuantizer(4, 1.0, 0)
    assert quantizer(torch.tensor([0.5, 1.5, 2.5, 99.0, -1.0])).tolist() == [0, 2, 2, 15, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_float_type_is_kept(dtype: torch.dtype) -> None:
    quantizer = ActivationQuantizer(16, *activation_grid(-1, 1, 16))
    y = quantizer(torch.tensor([0.5, -0.5], dtype=dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), torch.tensor([0.5, -0.5]), rtol=0, atol=1e-3)


def test_backward_runs_with_and_without_grad() -> None:
    x = torch.tensor([0.4, 1.6], requires_grad=True)
    quantizer = ActivationQuantizer(4)
    quantizer(x).sum().backward()
    with torch.no_grad():
        assert torch.equal(quantizer(x), torch.tensor([0.0, 2.0]))


def test_the_grid_is_saved_with_the_network() -> None:
    quantizer = ActivationQuantizer(8, 0.5, 3)
    other = ActivationQuantizer(8)
    other.load_state_dict(quantizer.state_dict())
    assert (float(other.scale), int(other.zero_point)) == (0.5, 3)
    assert other.scale.dtype == torch.float32
    assert other.zero_point.dtype == torch.int32
    assert "bits=8, scale=0.5, zero_point=3" in repr(other)


@pytest.mark.parametrize("bits", [1, 17, 8.0, True])
def test_wrong_bits_are_refused(bits: int) -> None:
    with pytest.raises(QuantizationError, match=r"use a whole number in 2\.\.16"):
        activation_grid(0.0, 1.0, bits)
    with pytest.raises(QuantizationError, match=r"use a whole number in 2\.\.16"):
        ActivationQuantizer(bits)


@pytest.mark.parametrize("ends", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf), (0.0, 1e300)])
def test_wrong_ranges_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(QuantizationError, match="use finite float32 numbers, low <= high"):
        activation_grid(*ends, 8)


@pytest.mark.parametrize(("scale", "zero_point"), [(0.0, 0), (math.inf, 0), (1e-60, 0), (1.0, 256)])
def test_wrong_grids_are_refused(scale: float, zero_point: int) -> None:
    with pytest.raises(QuantizationError, match=r"zero point in 0\.\.255"):
        ActivationQuantizer(8, scale, zero_point)
