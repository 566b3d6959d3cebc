"""Codebooks of file formats: values and scales known by hand, and little error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.errors import QuantizationError
from rlquant.quantizers import quantize_prescribed, quantize_signed_scale
from strategies import seeded, weights


def test_groups_known_by_hand() -> None:
    e2m1 = torch.tensor([[0.5, -6.0, 3.0, 1.5]])
    found = quantize_prescribed(e2m1, "mxfp4", group_size=4)
    assert found.scale is not None
    assert found.scale.tolist() == [0.5]
    assert torch.equal(found.dequantize(), e2m1)
    ends = torch.tensor([[1.27, -1.13, -0.01]])
    found = quantize_prescribed(ends, "iq4_nl", group_size=3)
    assert found.scale is not None
    assert found.scale.tolist() == pytest.approx([-0.01])
    assert found.codes.tolist() == [[0, 15, 8]]
    three = torch.tensor([[3.0, -3.0, 0.2, 3.0]])
    assert torch.equal(
        quantize_prescribed(three, "tied_ternary", group_size=4).dequantize(),
        torch.tensor([[3.0, -3.0, 0.0, 3.0]]),
    )


@settings(max_examples=15, deadline=None)
@given(w=weights(), kind=st.sampled_from(("iq4_nl", "mxfp4", "tied_ternary")))
def test_every_weight_is_at_its_nearest_point(w: torch.Tensor, kind: Any) -> None:
    found = quantize_prescribed(w, kind, group_size="channel")
    assert found.scale is not None
    points = found.scale.float()[:, None] * found.codebook
    rows = w.reshape(len(points), -1)
    nearest = (rows[..., None] - points[:, None]).abs().amin(dim=2)
    error = (found.dequantize().reshape(rows.shape) - rows).abs()
    assert torch.allclose(error, nearest, rtol=1e-5, atol=1e-30)


def test_scales_of_mxfp4_are_the_best_powers_of_two() -> None:
    w = torch.randn(16, 64, generator=seeded(0)) * torch.logspace(-3, 3, 16)[:, None]
    counts = torch.rand(16, 64, generator=seeded(1))
    found = quantize_prescribed(w, "mxfp4", group_size=32, importance=counts)
    assert found.scale is not None
    assert set(torch.frexp(found.scale)[0].tolist()) == {0.5}
    error = _errors(found.dequantize(), w, counts)
    for power in range(-16, 12):
        scale = 2.0**power
        points = scale * found.codebook
        values = points[(w[..., None] - points).abs().argmin(dim=2)]
        assert (_errors(values, w, counts) >= error * (1 - 1e-5)).all()


def _errors(values: torch.Tensor, w: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return ((values - w).square() * counts).reshape(-1, 32).sum(dim=1)


def test_values_closer_together_near_0_suit_normal_weights() -> None:
    w = torch.randn(32, 256, generator=seeded(0))
    errors = [
        float((q.dequantize() - w).square().sum())
        for q in (
            quantize_prescribed(w, "iq4_nl", group_size=32),
            quantize_signed_scale(w, 4, group_size=32),
        )
    ]
    assert errors[0] < 0.9 * errors[1]


def test_an_unknown_codebook_is_refused() -> None:
    with pytest.raises(QuantizationError, match="kind='iq3_s', use one of"):
        quantize_prescribed(torch.ones(4), "iq3_s")  # type: ignore[arg-type]
