from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlquant.config import GroupSize
from rlquant.errors import QuantizationError
from rlquant.quantizers import QuantizedTensor, quantize_integer, quantize_power_of_two
from rlquant.quantizers.groups import short_groups, to_rows
from strategies import seeded, weights


def group_errors(q: QuantizedTensor, w: Tensor) -> Tensor:
    """Squared error per group, in float64, without padding."""
    error = (q.dequantize().double() - w.double()).square()
    layout = (q.group_size, q.channel_axis)
    rows, (short, own) = to_rows(error, *layout), short_groups(w.shape, *layout)
    rows[short, own:] = 0.0
    return rows.sum(dim=1)


def scale_of(q: QuantizedTensor) -> list[float]:
    assert q.scale is not None
    return q.scale.tolist()


def test_covering_scale_is_the_smallest_that_covers() -> None:
    w = torch.tensor([[-4.0, 1.0], [-1.0, 3.0], [0.0, 0.0]])
    q = quantize_integer(w, 3)
    assert scale_of(q) == [1.0, 1.0, 1.0]
    assert q.codes.tolist() == [[0, 5], [3, 7], [4, 4]]
    assert torch.equal(q.dequantize(), w)


def test_one_bit_covers_the_negative_side() -> None:
    w = torch.tensor([[-0.5, 2.0], [0.2, 0.4]])
    for clip in (False, True):
        q = quantize_integer(w, 1, clip=clip)
        assert scale_of(q) == [0.5, 1.0]
        assert q.dequantize().tolist() == [[-0.5, 0.0], [0.0, 0.0]]


def test_float16_scales_are_rounded_upward_when_covering() -> None:
    w = torch.randn(64, 9, generator=seeded(0))
    for bits in (2, 5, 12):
        exact = torch.tensor(scale_of(quantize_integer(w, bits)))
        half = quantize_integer(w, bits, scale_dtype=torch.float16)
        assert half.scale is not None
        assert half.scale.dtype == torch.float16
        stored = half.scale.float()
        assert (stored >= exact * (1 - 2.0**-22)).all()
        assert (stored <= exact * (1 + 2.0**-10)).all()


@settings(max_examples=50, deadline=None)
@given(
    w=weights(),
    bits=st.integers(1, 8),
    group_size=st.sampled_from([4, "channel", "tensor"]),
    dtype=st.sampled_from([torch.float32, torch.float16]),
)
def test_clipping_is_never_worse_than_covering(
    w: Tensor, bits: int, group_size: GroupSize, dtype: torch.dtype
) -> None:
    clipped, covering = (
        quantize_integer(w, bits, clip=clip, group_size=group_size, scale_dtype=dtype)  # type: ignore[arg-type]
        for clip in (True, False)
    )
    bound = group_errors(covering, w)
    noise = (2.0**-22 * w.abs().max().double()) ** 2 * w.numel()
    assert (group_errors(clipped, w) <= bound * (1 + 1e-5) + noise).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_clipping_comes_near_the_best_of_a_fine_grid(bits: int) -> None:
    w = torch.randn(16, 200, generator=seeded(bits)) ** 3
    covering = torch.tensor(scale_of(quantize_integer(w, bits)))
    half = 2 ** (bits - 1)
    best = torch.full((16,), math.inf)
    for share in torch.linspace(0.02, 1, 300):
        step = (covering * share)[:, None]
        error = ((w / step).round().clamp(-half, half - 1) * step - w).square().sum(dim=1)
        best = torch.minimum(best, error)
    found = group_errors(quantize_integer(w, bits, clip=True), w)
    assert float(found.sum()) <= 1.02 * float(best.sum())


def test_clipping_ignores_the_padding_of_the_last_group() -> None:
    w = torch.randn(9, generator=seeded(0)) * torch.tensor([1.0] * 8 + [20.0])
    alone = quantize_integer(w[4:], 2, clip=True, group_size="tensor")
    padded = quantize_integer(torch.cat([torch.zeros(8), w[4:]]), 2, clip=True, group_size=8)
    assert scale_of(padded)[1] == scale_of(alone)[0]
    rows = torch.cat([torch.zeros(8), w[4:]]).expand(3, -1)
    assert scale_of(quantize_integer(rows, 2, clip=True, group_size=8))[1::2] == scale_of(alone) * 3


@pytest.mark.parametrize("group_size", ["channel", "tensor", 7])
@pytest.mark.parametrize("scale_dtype", [torch.float32, torch.float16])
def test_how_many_scales_are_tried_together_changes_nothing(
    group_size: GroupSize, scale_dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.randn(6, 40, generator=seeded(0)) ** 3
    weight[0] = 0.0
    found = []
    for at_once in (1, 1000, 2**15):
        monkeypatch.setattr("rlquant.quantizers.clipping.TRIED_AT_ONCE", at_once)
        settings = {"group_size": group_size, "scale_dtype": scale_dtype}
        found.append([quantize_integer(weight, b, clip=True, **settings) for b in (1, 3, 8)])  # type: ignore[arg-type]
    for one, some, all_of_them in zip(*found, strict=True):
        assert torch.equal(one.scale, some.scale)
        assert torch.equal(one.scale, all_of_them.scale)


def test_power_of_two_scale_is_the_best_of_all_powers() -> None:
    w = torch.randn(500, generator=seeded(0))
    for bits in (2, 4, 8):
        half = 2 ** (bits - 1)
        errors = {
            e: float(((w / 2.0**e).round().clamp(-half, half - 1) * 2.0**e - w).square().sum())
            for e in range(-14, 6)
        }
        assert scale_of(quantize_power_of_two(w, bits)) == [2.0 ** min(errors, key=errors.get)]  # type: ignore[arg-type]


def test_power_of_two_is_exact_in_float16() -> None:
    q = quantize_power_of_two(torch.tensor([1e-9, -3e-9]), 4, scale_dtype=torch.float16)
    assert scale_of(q) == [2.0**-24]
    assert scale_of(quantize_power_of_two(torch.zeros(3), 4)) == [1.0]


@pytest.mark.parametrize("quantize", [quantize_integer, quantize_power_of_two])
@pytest.mark.parametrize("bits", [0, 17, 2.0, True])
def test_bits_outside_1_to_16_are_refused(quantize: object, bits: object) -> None:
    with pytest.raises(QuantizationError, match=r"bits=.*use a whole number in 1\.\.16"):
        quantize(torch.ones(2), bits)  # type: ignore[operator]


def test_scales_that_overflow_float16_are_refused() -> None:
    w = torch.tensor([1e6, -1e6])
    with pytest.raises(QuantizationError, match=r"too large for torch.float16"):
        quantize_integer(w, 2, scale_dtype=torch.float16)
    with pytest.raises(QuantizationError, match=r"too large for torch.float16"):
        quantize_power_of_two(torch.tensor([-65504.0]), 1, scale_dtype=torch.float16)


def test_other_scale_types_are_refused() -> None:
    with pytest.raises(QuantizationError, match=r"scale_dtype=torch.int8"):
        quantize_integer(torch.ones(2), 2, scale_dtype=torch.int8)
