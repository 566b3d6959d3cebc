from __future__ import annotations

import pytest
import torch

from rlquant.errors import QuantizationError
from rlquant.quantizers import quantize_affine
from rlquant.quantizers.affine_range import narrowed_range, whole_range
from strategies import seeded


def test_float16_codes_are_assigned_with_the_stored_scale() -> None:
    w = 3.0 + torch.rand(4, 64, generator=seeded(0))
    q = quantize_affine(w, 4, group_size=64, scale_dtype=torch.float16)
    assert q.scale is not None
    assert q.offset is not None
    assert q.scale.dtype == q.offset.dtype == torch.float16
    step = q.scale.float()[:, None] / 15
    # An extreme may lie outside the stored range by the rounding of an offset of 3: 2**-10.
    assert ((q.dequantize() - w).abs() <= step / 2 + 2.0**-9).all()


def test_float16_keeps_a_constant_group_up_to_its_precision() -> None:
    w = torch.full((5,), 1000.7)
    q = quantize_affine(w, 3, scale_dtype=torch.float16)
    assert not q.codes.any()
    assert torch.equal(q.dequantize(), w.half().float())


def test_stochastic_rounding_is_unbiased() -> None:
    w = torch.rand(50, generator=seeded(0))
    draws = 4000
    q = quantize_affine(
        w.repeat(draws, 1), 2, group_size=50, rounding="stochastic", generator=seeded(1)
    )
    error = q.dequantize().double().mean(dim=0) - w.double()
    # The standard error is at most half a step over sqrt(draws), 1/6/63 = 0.0026; five of them.
    assert float(error.abs().max()) < 0.0132


@pytest.mark.parametrize("size", [0, -4, 2.5, True, "row"])
def test_wrong_group_sizes_are_refused(size: object) -> None:
    with pytest.raises(QuantizationError, match="group_size="):
        quantize_affine(torch.ones(4), 2, group_size=size)  # type: ignore[arg-type]


def test_a_range_beyond_float32_is_refused() -> None:
    with pytest.raises(QuantizationError, match=r"too large for torch.float32"):
        quantize_affine(torch.tensor([-3e38, 3e38]), 2)


def test_wrong_bits_and_roundings_are_refused() -> None:
    with pytest.raises(QuantizationError, match="bits=17"):
        quantize_affine(torch.ones(4), 17)
    with pytest.raises(QuantizationError, match="rounding='learned'"):
        quantize_affine(torch.ones(4), 2, rounding="learned")


def test_ranges_are_searched_alike_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    w, counts = torch.randn(2, 40, 16, generator=seeded(0)).unbind()
    counts = counts.square()
    start = whole_range(w, 3, torch.float16)
    together = narrowed_range(w, start, counts)
    monkeypatch.setattr("rlquant.quantizers.affine_range.AT_ONCE", 48)
    parted = narrowed_range(w, start, counts)
    assert torch.equal(together.scale, parted.scale)
    assert torch.equal(together.second, parted.second)
