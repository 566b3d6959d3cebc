"""Least-squares scales: the exact solution, and never a worse channel."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from assigned_layers import layer
from rlquant.config import GroupSize
from rlquant.quantizers import (
    QuantizedTensor,
    quantize_affine,
    quantize_integer,
    quantize_zero_point,
)
from rlquant.rounding.output_error import channel_errors
from rlquant.rounding.refit import refit_scales
from strategies import seeded

MAKERS = {
    "integer": quantize_integer,
    "affine": quantize_affine,
    "zero_point": quantize_zero_point,
}


def grid(weight: Tensor, kind: str, group_size: GroupSize) -> QuantizedTensor:
    make = MAKERS[kind]
    return make(weight, 3, group_size=group_size)


def test_one_scale_by_hand() -> None:
    weight = torch.tensor([[1.2, 2.1]])
    hessian = torch.tensor([[[1.0, 0.5], [0.5, 2.0]]])
    codes = torch.tensor([[5, 6]], dtype=torch.uint8)  # 1 and 2
    start = QuantizedTensor(codes, 3, "integer", scale=torch.ones(1), group_size="channel")
    found = refit_scales(weight, start, hessian)
    # s = c'Hw / c'Hc with c = (1, 2): (1.2 + 0.5 * (2.1 + 2.4) + 4 * 2.1) / (1 + 2 + 8)
    assert found.scale is not None
    assert float(found.scale) == pytest.approx(11.85 / 11, abs=1e-3)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("group_size", ["channel", 5, 6])
def test_no_small_change_of_the_numbers_is_better(kind: str, group_size: GroupSize) -> None:
    weight, hessian = layer(0, groups=2, fan_in=12)
    start = grid(weight, kind, group_size)
    found = refit_scales(weight, start, hessian)
    least = channel_errors(found.dequantize() - weight, hessian)
    assert (least <= channel_errors(start.dequantize() - weight, hessian) * (1 + 1e-5)).all()
    assert float(least.sum()) < 0.9 * float(
        channel_errors(start.dequantize() - weight, hessian).sum()
    )
    assert torch.equal(found.codes, start.codes)
    assert found.scale is not None
    for factor in (0.97, 1.03):
        moved = replace(found, scale=found.scale * factor)
        assert channel_errors(moved.dequantize() - weight, hessian).sum() > least.sum()


@pytest.mark.parametrize("kind", MAKERS)
def test_channels_fitted_in_parts_are_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, hessian = layer(1, channels=7, fan_in=12)
    start = grid(weight, kind, 4)
    whole = refit_scales(weight, start, hessian)
    monkeypatch.setattr("rlquant.rounding.refit.NUMBERS_AT_ONCE", 40)
    parts = refit_scales(weight, start, hessian)
    torch.testing.assert_close(parts.dequantize(), whole.dequantize())


def test_stored_types_constant_groups_and_exact_channels_stay() -> None:
    weight, hessian = layer(2)
    weight[0], weight[1, :4] = 0.0, 0.5
    start = quantize_affine(weight, 2, group_size=4, scale_dtype=torch.float16)
    found = refit_scales(weight, start, hessian)
    assert found.scale is not None
    assert found.offset is not None
    assert found.scale.dtype == found.offset.dtype == torch.float16
    assert torch.isfinite(found.dequantize()).all()
    assert not found.dequantize()[0].any()
    convolution = torch.randn(4, 3, 3, 3, generator=seeded(0))
    still = refit_scales(convolution, quantize_integer(convolution, 3), torch.zeros(1, 27, 27))
    assert torch.equal(still.dequantize(), quantize_integer(convolution, 3).dequantize())
