"""Fake quantization for training steps: the values alone, without checks or codes to store.

Each function gives, bit for bit, what the quantizer of the same name in the other files
dequantizes to; tests hold them equal. They work in the layout of the weight, whose groups are
its output channels (axis 0) or the whole of it, and take what is not finite as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.quantizers.affine_range import nearest_zero_point, range_with_zero
from rlquant.quantizers.codebook import codes_at, look_up
from rlquant.quantizers.integer_grid import covering_scale, round_up
from rlquant.quantizers.tensor import offset_of

Round = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class FakeQuantized:
    """Dequantized weights, and how they came about.

    Attributes:
        values: float32, shape and layout of the weight.
        codes: int64, shape of the weight; only for points.
        scale: of each group, broadcasts against the weight; only for points.
    """

    values: Tensor
    codes: Tensor | None = None
    scale: Tensor | None = None


def fake_integer(
    weight: Tensor, bits: int, round_: Round, *, channels: bool, scale_dtype: torch.dtype
) -> FakeQuantized:
    """Return what `quantize_integer` without clipping dequantizes to."""
    low, high = extremes(weight, channels)
    scale = round_up(covering_scale(low, high, bits), scale_dtype)
    return fake_at_scale(weight, scale, bits, round_)


def fake_at_scale(weight: Tensor, scale: Tensor, bits: int, round_: Round) -> FakeQuantized:
    """Return what `quantize_to_scale` dequantizes to; `scale` broadcasts against the weight."""
    half = 2 ** (bits - 1)
    wide = scale.float()
    values = round_(weight / wide).clamp(-half, half - 1).mul_(wide)
    return FakeQuantized(in_layout_of(weight, values))


def fake_uniform(
    weight: Tensor, bits: int, round_: Round, *, channels: bool, scale_dtype: torch.dtype
) -> FakeQuantized:
    """Return what `quantize_affine` without a zero point dequantizes to."""
    scale, offset = _scaling(weight, channels, scale_dtype)
    last = 2**bits - 1
    codes = round_(_unit(weight, scale, offset).mul_(last)).clamp(0, last)
    return FakeQuantized(in_layout_of(weight, codes.div_(last).mul_(scale).add_(offset)))


def fake_affine(
    weight: Tensor, bits: int, round_: Round, *, channels: bool, scale_dtype: torch.dtype
) -> FakeQuantized:
    """Return what `quantize_affine` with a zero point dequantizes to."""
    low, high = extremes(weight, channels)
    scale = round_up(range_with_zero(low, high), scale_dtype).float()
    zeros = nearest_zero_point(low, scale, bits).to(scale_dtype).float()
    last = 2**bits - 1
    share = weight / torch.where(scale > 0, scale, torch.inf)
    codes = round_(share.mul_(last).add_(zeros)).clamp(0, last)
    values = codes.div_(last).mul_(scale).add_(offset_of(scale, zeros, bits))
    return FakeQuantized(in_layout_of(weight, values))


def fake_at_points(
    weight: Tensor, points: Tensor, round_: Round, *, channels: bool, scale_dtype: torch.dtype
) -> FakeQuantized:
    """Return what `quantize_to_points` dequantizes to, with the codes and scales."""
    stored = points.to(scale_dtype).float()
    scale, offset = _scaling(weight, channels, scale_dtype)
    codes = codes_at(_unit(weight, scale, offset), stored, round_)
    values = in_layout_of(weight, look_up(stored, codes).mul_(scale).add_(offset))
    return FakeQuantized(values, codes, scale)


def extremes(weight: Tensor, channels: bool) -> tuple[Tensor, Tensor]:
    """Return least and greatest weight of each group, in a shape that broadcasts."""
    axes = tuple(range(1 if channels else 0, weight.dim()))
    if not axes:  # which PyTorch would take for all of them
        return weight, weight
    return weight.amin(dim=axes, keepdim=True), weight.amax(dim=axes, keepdim=True)


def in_layout_of(weight: Tensor, values: Tensor) -> Tensor:
    """Return the values in the memory layout of the weight: convolutions are slow in another."""
    if values.stride() == weight.stride():
        return values
    return torch.empty_like(weight).copy_(values)


def _scaling(weight: Tensor, channels: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    low, high = extremes(weight, channels)
    return (high - low).to(dtype).float(), low.to(dtype).float()


def _unit(weight: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    # A constant group has scale 0: divided by infinity, its weights are at 0 of it.
    return (weight - offset).div_(torch.where(scale > 0, scale, torch.inf))
