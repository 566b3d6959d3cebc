"""Asymmetric quantization with whole zero points, as compressed-tensors and ONNX files have it."""

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
def quantize_zero_point(
    weights: Tensor,
    bits: int,
    *,
    group_size: GroupSize = 128,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
    channel_axis: int = 0,
    importance: Tensor | None = None,
) -> QuantizedTensor:
    """Quantize to `step * (code - zero point)`, where the zero point is one of the codes.

    The points are those of `quantize_affine` with a zero point, but for what is stored: here the
    step, there the range. 0 is always a point, so that each group's range reaches to it.

    Args:
        weights: float, any shape; never written to.
        bits: 1..16.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32 or float16; codes are assigned with the stored step.
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts, at least 0, in a shape that broadcasts
            to that of the weights: ranges are narrowed for least error, and weights outside
            saturate. None takes whole ranges.

    Returns:
        Kind "steps" with a zero point, 0..2**bits - 1; scale = step, 0 for a group of zeros.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", "Quantization scheme".

    Examples:
        >>> import torch
        >>> from rlquant.quantizers import quantize_zero_point
        >>> quantize_zero_point(torch.tensor([-1.4, 0.0, 4.6]), 2).dequantize()
        tensor([-2.,  0.,  4.])
    """
    taken = GroupedWeights.of(
        weights, bits, group_size, rounding, generator, channel_axis, importance
    )
    found = whole_range(taken.rows, bits, torch.float32, zero_point=True)
    if taken.counts is not None:
        found = narrowed_range(taken.rows, found, taken.counts, whole=True)
    numbers = found.scale / (2**bits - 1), found.second
    step, zero = (round_for_storage(each, scale_dtype) for each in numbers)
    inverse = 1 / torch.where(step > 0, step.float(), torch.inf)
    places = (taken.rows * inverse[:, None]).add_(zero.float()[:, None])
    return taken.with_codes(taken.nearest_codes(places), "steps", scale=step, zero_point=zero)
