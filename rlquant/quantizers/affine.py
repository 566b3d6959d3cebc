"""Affine (asymmetric min-max) quantization: each group is scaled to [0, 1]."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import GroupSize, Rounding
from rlquant.quantizers.affine_range import AffineRange, narrowed_range, whole_range
from rlquant.quantizers.grouped_weights import GroupedWeights
from rlquant.quantizers.tensor import (
    QuantizedTensor,
)


@explained
def quantize_affine(
    weights: Tensor,
    bits: int,
    *,
    group_size: GroupSize = 256,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
    channel_axis: int = 0,
    importance: Tensor | None = None,
    zero_point: bool = False,
) -> QuantizedTensor:
    """Quantize to `2**bits` equally spaced points from each group's minimum to its maximum.

    With a zero point the range is extended to 0 and shifted by at most half a step, so that 0 is a
    point. Small weights of a group that has outliers then lose nothing of their mean: without a
    point at 0 they all err in the same direction.

    Where it is said what the weights' errors count, the range is narrowed from both ends as far as
    makes the group's error under nearest rounding least (a search; never worse than the whole
    range), and weights outside saturate. The zero point of such a range need not be whole.

    Args:
        weights: float, any shape; never written to.
        bits: 1..16.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32 or float16; codes are assigned with the stored scale and offset.
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts, at least 0, in a shape that broadcasts
            to that of the weights; None takes the whole range.
        zero_point: store the code of value 0 in place of the least point.

    Returns:
        Kind "affine"; offset = least point, scale = greatest - least. A constant group is kept
        exactly (up to `scale_dtype`); without a zero point its scale is 0.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Source: Polino et al. 2018, "Quantization functions" (uniform, linear scaling, grouping);
    Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (the shifted range).

    Examples:
        >>> import torch
        >>> from rlquant.quantizers import quantize_affine
        >>> quantize_affine(torch.tensor([0.0, 0.4, 3.0]), 2).dequantize()
        tensor([0., 0., 3.])
        >>> quantize_affine(torch.tensor([-1.4, 0.0, 4.6]), 2, zero_point=True).dequantize()
        tensor([-2.,  0.,  4.])
    """
    taken = GroupedWeights.of(
        weights, bits, group_size, rounding, generator, channel_axis, importance
    )
    found = whole_range(taken.rows, bits, scale_dtype, zero_point=zero_point)
    if taken.counts is not None:
        found = narrowed_range(taken.rows, found, taken.counts)

    def made(rows: Tensor, scale: Tensor, second: Tensor) -> Tensor:
        return taken.nearest_codes(_position(rows, replace(found, scale=scale, second=second)))

    codes = taken.codes(made, found.scale, found.second)
    second = {"zero_point" if zero_point else "offset": found.second}
    return taken.with_codes(codes, "affine", scale=found.scale, **second)


def _position(rows: Tensor, found: AffineRange) -> Tensor:
    """Return where weights lie between the codes; 0 at the zero point exactly."""
    last = 2**found.bits - 1
    if not found.has_zero_point:
        return to_unit(rows, found.scale, found.second).mul_(last)
    share = rows / torch.where(found.scale > 0, found.scale.float(), torch.inf)[:, None]
    return share.mul_(last).add_(found.second.float()[:, None])


def group_scaling(rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return each group's `(scale, offset)` = (max - min, min), as stored in `dtype`.

    Args:
        rows: groups, shape `(groups, size)`, float32.
        dtype: float32 or float16.

    Raises:
        QuantizationError: a group's range overflows in `dtype`.
    """
    found = whole_range(rows, 1, dtype)
    return found.scale, found.second


def to_unit(rows: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Bring each group to [0, 1]; 0 for a group of scale 0.

    Rounding of a float16 scale and offset may put an extreme slightly outside.
    """
    column = scale.float()[:, None]
    return torch.where(column > 0, (rows - offset.float()[:, None]) / column, 0.0)
