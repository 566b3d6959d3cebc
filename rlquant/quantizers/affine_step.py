"""Affine quantization that stores the step between points, as ggml's Q4_1 and Q5_1 do."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import GroupSize, Rounding
from rlquant.quantizers.affine_range import narrowed_range, whole_range
from rlquant.quantizers.grouped_weights import GroupedWeights
from rlquant.quantizers.tensor import (
    QuantizedTensor,
    round_for_storage,
)


@explained
def quantize_affine_step(
    weights: Tensor,
    bits: int,
    *,
    group_size: GroupSize = 32,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
    channel_axis: int = 0,
    importance: Tensor | None = None,
) -> QuantizedTensor:
    """Quantize to `2**bits` points, each one step above the one below, from a least point on.

    The points are those of `quantize_affine`, up to what is rounded for storage: here the step and
    the least point, there the range and the least point.

    Args:
        weights: float, any shape; never written to.
        bits: 1..16.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32 or float16; codes are assigned with the stored scale and offset.
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts, at least 0, in a shape that broadcasts
            to that of the weights: ranges are narrowed for least error. None takes whole ranges.

    Returns:
        Kind "steps"; offset = least point, scale = step, 0 for a constant group.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.
    """
    taken = GroupedWeights.of(
        weights, bits, group_size, rounding, generator, channel_axis, importance
    )
    found = whole_range(taken.rows, bits, torch.float32)
    if taken.counts is not None:
        found = narrowed_range(taken.rows, found, taken.counts)
    numbers = found.scale / (2**bits - 1), found.offset
    step, least = (round_for_storage(each, scale_dtype) for each in numbers)
    codes = taken.codes(lambda rows, *own: taken.nearest_codes(_steps(rows, *own)), step, least)
    return taken.with_codes(codes, "steps", scale=step, offset=least)


def _steps(rows: Tensor, step: Tensor, least: Tensor) -> Tensor:
    """Return how many steps weights lie above the least point; 0 where a step is 0."""
    column = step.float()[:, None]
    return torch.where(column > 0, (rows - least.float()[:, None]) / column, 0.0)
