from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.errors import QuantizationError
from rlquant.quantizers import quantize_ternary, sparsity_threshold, ternary_scales
from strategies import weights

shares = st.floats(0, 1)


@settings(max_examples=40, deadline=None)
@given(w=weights(), threshold=shares)
def test_values_follow_the_threshold(w: Tensor, threshold: float) -> None:
    values = quantize_ternary(w, 1.5, 0.5, threshold=threshold).dequantize()
    delta = torch.tensor(threshold * float(w.abs().max()))
    assert torch.equal(values, torch.where(w > delta, 1.5, torch.where(w < -delta, -0.5, 0.0)))


@settings(max_examples=40, deadline=None)
@given(w=weights(), threshold=shares, change=st.floats(0.5, 2))
def test_closed_form_scales_have_the_least_error(
    w: Tensor, threshold: float, change: float
) -> None:
    positive, negative = ternary_scales(w, threshold=threshold)

    def error(up: float, down: float) -> float:
        values = quantize_ternary(w, up, down, threshold=threshold).dequantize()
        return float((values.double() - w.double()).square().sum())

    least = error(positive, negative)
    assert error(positive * change, negative) >= least * (1 - 1e-6) - 1e-9
    assert error(positive, negative * change) >= least * (1 - 1e-6) - 1e-9


@settings(max_examples=40, deadline=None)
@given(w=weights(), sparsity=shares)
def test_sparsity_is_reached_and_only_ties_exceed_it(w: Tensor, sparsity: float) -> None:
    q = quantize_ternary(w, 1, 1, threshold=sparsity_threshold(w, sparsity))
    wanted = round(sparsity * w.numel())
    sizes = w.abs().flatten().sort().values
    expected = int((sizes <= sizes[wanted - 1]).sum()) if wanted else int((sizes == 0).sum())
    assert int((q.codes == 1).sum()) == expected


def test_float16_scales() -> None:
    q = quantize_ternary(torch.tensor([1.0, -1.0]), 0.1, 0.2, scale_dtype=torch.float16)
    assert q.values is not None
    assert q.values.dtype == torch.float16
    assert q.dequantize().tolist() == [float(torch.tensor(x).half()) for x in (0.1, -0.2)]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_scales_must_be_above_zero(bad: float) -> None:
    for scales in ((bad, 1.0), (1.0, bad)):
        with pytest.raises(QuantizationError, match="use finite numbers above 0"):
            quantize_ternary(torch.ones(2), *scales)


def test_scales_must_fit_their_type() -> None:
    with pytest.raises(QuantizationError, match=r"too small for torch.float16"):
        quantize_ternary(torch.ones(2), 1e-9, 1, scale_dtype=torch.float16)
    for scale, dtype in ((math.inf, torch.float32), (1e6, torch.float16)):
        with pytest.raises(QuantizationError, match=f"too large for {dtype}"):
            quantize_ternary(torch.ones(2), scale, 1, scale_dtype=dtype)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_threshold_and_sparsity_are_shares(share: float) -> None:
    with pytest.raises(QuantizationError, match=r"threshold=.*use a number in 0\.\.1"):
        quantize_ternary(torch.ones(2), 1, 1, threshold=share)
    with pytest.raises(QuantizationError, match=r"sparsity=.*use a number in 0\.\.1"):
        sparsity_threshold(torch.ones(2), share)


@pytest.mark.parametrize("function", [ternary_scales, lambda w: sparsity_threshold(w, 0.5)])
def test_weights_must_be_finite(function: object) -> None:
    with pytest.raises(QuantizationError, match="NaN or infinite"):
        function(torch.tensor([1.0, math.nan]))  # type: ignore[operator]
