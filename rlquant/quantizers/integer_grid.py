"""Integer grids: a scale times -2^(b-1) .. 2^(b-1)-1; the scale covers, clips, or is 2^-FL."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import GroupSize, Rounding
from rlquant.errors import QuantizationError
from rlquant.quantizers.clipping import clipping_scale, squared_error
from rlquant.quantizers.grouped_weights import GroupedWeights
from rlquant.quantizers.groups import (
    short_groups,
)
from rlquant.quantizers.tensor import (
    QuantizedTensor,
    codes_dtype,
    round_for_storage,
)

POWERS_TRIED = 12
"""Fraction lengths tried, from the one that covers the tensor to finer ones."""


@explained
def quantize_integer(
    weights: Tensor,
    bits: int,
    *,
    group_size: GroupSize = "channel",
    clip: bool = False,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
    channel_axis: int = 0,
    importance: Tensor | None = None,
) -> QuantizedTensor:
    """Quantize to a scale per group times the integers of `bits` bits, without offset.

    Args:
        weights: float, any shape; never written to.
        bits: 1..16. One bit has only {-1, 0}: it covers negative weights, positive ones go to 0.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        clip: False takes the smallest scale that covers the group; True one that minimises the
            group's squared error under nearest rounding, where weights outside saturate (a
            search; never worse than the covering scale).
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32 or float16; codes are assigned with the stored scales, which are
            rounded upward when covering and to nearest when clipping.
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts when clipping, at least 0, in a shape
            that broadcasts to that of the weights; all count alike by default.

    Returns:
        Kind "integer"; a group with nothing to cover has scale 1.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Examples:
        >>> import torch
        >>> from rlquant.quantizers import quantize_integer
        >>> quantize_integer(torch.tensor([[-1.0, 0.3, 1.5]]), 3).dequantize()
        tensor([[-1.0000,  0.5000,  1.5000]])
    """
    counted = importance if clip else None
    taken = GroupedWeights.of(weights, bits, group_size, rounding, generator, channel_axis, counted)
    rows = taken.rows
    scale = covering = _covering(rows, bits, scale_dtype)
    if clip:
        scale = clipping_scale(rows, covering, bits, taken.counts)
        short, own = short_groups(weights.shape, group_size, channel_axis)
        if own and taken.counts is None:  # padding must not weigh in the error
            scale[short] = clipping_scale(rows[short, :own], covering[short], bits)
    return _on_grid(taken, scale)


@explained
def quantize_to_scale(
    weights: Tensor,
    scale: Tensor,
    bits: int,
    *,
    group_size: GroupSize = "channel",
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    channel_axis: int = 0,
) -> QuantizedTensor:
    """Quantize to given scales times the integers of `bits` bits; weights outside saturate.

    Args:
        weights: float, any shape; never written to.
        scale: shape `(groups,)`, above 0, as it is stored (float32 or float16).
        bits: 1..16.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        channel_axis: the output-channel axis, for "channel".

    Returns:
        Kind "integer", with these scales.

    Raises:
        QuantizationError: weights not quantizable, scales of another number or not above 0, or
            an argument outside its range.
    """
    taken = GroupedWeights.of(weights, bits, group_size, rounding, generator, channel_axis)
    if scale.shape != taken.rows.shape[:1] or not ((scale > 0) & torch.isfinite(scale)).all():
        raise QuantizationError(
            f"scale of shape {tuple(scale.shape)}: give one finite number above 0 for each of "
            f"{len(taken.rows)} groups"
        )
    return _on_grid(taken, scale)


@explained
def quantize_power_of_two(
    weights: Tensor,
    bits: int,
    *,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
) -> QuantizedTensor:
    """Quantize to fixed point: the integers of `bits` bits times one 2^-FL for the whole tensor.

    The fraction length FL is chosen by squared error under nearest rounding with saturation;
    the coarsest of equals.

    Args:
        weights: float, any shape; never written to.
        bits: word length, 1..16.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32, or float16, where 2^-24 is the finest step.

    Returns:
        Kind "integer", one exact power of two as scale.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Source: Gupta et al. 2015, "Limited precision arithmetic" (the number format).
    """
    taken = GroupedWeights.of(weights, bits, "tensor", rounding, generator)
    covering = _covering(taken.rows, bits, scale_dtype).float()
    limits = torch.finfo(scale_dtype)
    finest = int(math.log2(limits.smallest_normal) + math.log2(limits.eps))
    coarsest = math.ceil(math.log2(float(covering)))
    exponents = range(coarsest, max(coarsest - POWERS_TRIED, finest - 1), -1)
    unit = taken.rows / covering
    best = min(exponents, key=lambda e: float(squared_error(unit, 2.0**e / covering, bits)))
    scale = round_for_storage(torch.full_like(covering, 2.0**best), scale_dtype)
    return _on_grid(taken, scale)


def _on_grid(taken: GroupedWeights, scale: Tensor) -> QuantizedTensor:
    def made(rows: Tensor, own: Tensor) -> Tensor:
        return integer_codes(taken.round(rows / own.float()[:, None]), taken.bits)

    codes = taken.codes(made, scale)
    return taken.with_codes(codes, "integer", scale=scale)


def integer_codes(integers: Tensor, bits: int) -> Tensor:
    """Saturate whole numbers to the grid and count them from its lower end."""
    half: int = 2 ** (bits - 1)
    return (integers.clamp(-half, half - 1) + half).to(codes_dtype(bits))


def covering_scale(low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Return the smallest scale whose grid covers `[low, high]`; 1 where nothing is covered.

    Args:
        low: least weight of each group, any shape.
        high: greatest weight of each group, same shape.
        bits: 1..16.
    """
    half = 2 ** (bits - 1)
    scale: Tensor = -low / half
    if bits > 1:
        scale = torch.maximum(scale, high / (half - 1))
    return torch.where(scale > 0, scale, 1.0)


def round_up(scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Round positive scales upward to `dtype`, so that a covering scale still covers."""
    stored = scale.to(dtype)
    if dtype == torch.float32:
        return stored
    # The margin is float32's own error: a scale that was stored once must come back unchanged.
    short = stored.float() < scale * (1 - 2.0**-22)
    return torch.where(short, _next_up(stored), stored)


def _covering(rows: Tensor, bits: int, dtype: torch.dtype) -> Tensor:
    """Return the covering scale per row as it is stored; `QuantizationError` if it overflows."""
    low, high = rows.aminmax(dim=1)
    return round_for_storage(round_up(covering_scale(low, high, bits), dtype), dtype)


def _next_up(stored: Tensor) -> Tensor:
    """Return the next larger float16 of non-negative ones: their bit patterns are ordered."""
    return (stored.view(torch.int16) + 1).view(torch.float16)
