"""Stored codebooks: quantization points anywhere on each group's [0, 1], and where to put them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import GroupSize, Rounding
from rlquant.errors import QuantizationError
from rlquant.quantizers.affine import group_scaling, to_unit
from rlquant.quantizers.grouped_weights import GroupedWeights
from rlquant.quantizers.groups import from_rows, require_group_size, to_rows
from rlquant.quantizers.rounding import round_nearest
from rlquant.quantizers.tensor import (
    QuantizedTensor,
    require_quantizable,
    round_for_storage,
)

MOST_POINTS = 256
KMEANS_ROUNDS = 100
FEW_BORDERS = 16


@explained
def quantize_to_points(
    weights: Tensor,
    points: Tensor,
    *,
    group_size: GroupSize = 256,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
    channel_axis: int = 0,
) -> QuantizedTensor:
    """Quantize to given points, which lie in the [0, 1] of every group.

    Args:
        weights: float, any shape; never written to.
        points: shape `(count,)`, `2 <= count <= 256`, ascending (equal ones allowed), finite;
            0 is a group's minimum, 1 its maximum. They may lie outside.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic" (one of the two
            neighbouring points, the upper with probability equal to the distance from the
            lower over their gap). A weight outside all points takes the outermost.
        generator: needed by "stochastic".
        scale_dtype: float32 or float16, also of the stored points; codes are assigned with what
            is stored.
        channel_axis: the output-channel axis, for "channel".

    Returns:
        Kind "stored", of ceil(log2(count)) bits; a constant group has scale 0 and is kept
        exactly (up to `scale_dtype`).

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Source: Polino et al. 2018, "Differentiable quantization" (the assignment step).

    Examples:
        >>> import torch
        >>> from rlquant.quantizers import quantize_to_points
        >>> points = torch.tensor([0.0, 0.25, 1.0])
        >>> quantize_to_points(torch.tensor([0.0, 1.5, 4.0]), points).dequantize()
        tensor([0., 1., 4.])
    """
    _require_points(points)
    bits = (points.numel() - 1).bit_length()
    taken = GroupedWeights.of(weights, bits, group_size, rounding, generator, channel_axis)
    values = round_for_storage(points.detach().to(weights.device, torch.float32), scale_dtype)
    scale, offset = group_scaling(taken.rows, scale_dtype)
    codes = codes_at(to_unit(taken.rows, scale, offset), values.float(), taken.round)
    return taken.with_codes(codes, "stored", scale=scale, offset=offset, values=values)


@explained
def quantile_points(
    weights: Tensor, count: int, *, group_size: GroupSize = 256, channel_axis: int = 0
) -> Tensor:
    """Place points at equally spaced quantiles of the weights, scaled to their groups' [0, 1].

    Padding and constant groups do not enter; a tensor of constant groups alone gets equally
    spaced points.

    Args:
        weights: float, any shape.
        count: number of points, 2..256.
        group_size: as in `quantize_to_points`.
        channel_axis: the output-channel axis, for "channel".

    Returns:
        Shape `(count,)`, float32, ascending from 0 to 1, on the weights' device. Between two
        weights the quantile is interpolated linearly.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Source: Polino et al. 2018, "Differentiable quantization" (initialisation by quantiles).
    """
    scaled = _scaled(weights, count, group_size, channel_axis)
    return torch.from_numpy(_quantiles(scaled, count)).to(weights.device, torch.float32)


@explained
def kmeans_points(
    weights: Tensor, count: int, *, group_size: GroupSize = 256, channel_axis: int = 0
) -> Tensor:
    """Place points by 1-D k-means of the weights, scaled to their groups' [0, 1].

    Lloyd's algorithm from the quantile points until no assignment changes or for 100 rounds;
    deterministic. A point that no weight takes stays where it is. Arguments, result and errors
    as in `quantile_points`, except that the outer points need not be 0 and 1.

    Source: Lloyd 1982, "Least squares quantization in PCM".
    """
    scaled = np.sort(_scaled(weights, count, group_size, channel_axis))
    points = _quantiles(scaled, count)
    sums = np.concatenate([[0.0], np.cumsum(scaled)])
    previous: npt.NDArray[np.intp] | None = None
    for _ in range(KMEANS_ROUNDS):
        middles = (points[1:] + points[:-1]) / 2
        inner = np.searchsorted(scaled, middles, side="right")
        if previous is not None and np.array_equal(inner, previous):
            break
        previous = inner
        edges = np.concatenate([[0], inner, [scaled.size]])
        taken = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(taken, 1)
        points = np.where(taken > 0, means, points)
    return torch.from_numpy(points).to(weights.device, torch.float32)


def codes_at(unit: Tensor, points: Tensor, round_: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the index of the point that each value is rounded to, int64.

    Args:
        unit: any shape; values outside all points take the outermost.
        points: ascending.
        round_: rounds shares of the way between two points to 0 or 1.
    """
    if round_ is round_nearest:  # needs no share: a tie goes to the lower point
        return places(unit.contiguous(), (points[1:] + points[:-1]) / 2)
    lower, share = _bracket(unit, points)
    # NaN becomes no index at all, which nothing could be looked up with.
    return (lower + round_(share).long()).clamp_(0, points.numel() - 1)


def _bracket(unit: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index of the point below each value and its share of the way to the next."""
    inside = unit.clamp(points[0], points[-1]).contiguous()
    lower = places(inside, points[1:-1], right=True)
    gap = points[1:] - points[:-1]
    # Equal last points have no gap: their values are at share 0 of the way.
    width = torch.where(gap > 0, gap, 1.0)
    return lower, (inside - look_up(points, lower)).div_(look_up(width, lower))


def places(values: Tensor, borders: Tensor, *, right: bool = False) -> Tensor:
    """Return `torch.bucketize(values, borders, right=right)`; NaN may become another index.

    Counting comparisons is several times as fast on a CPU where borders are few: they need no
    branches, which a binary search guesses wrong.
    """
    if values.is_cuda or borders.numel() > FEW_BORDERS:
        return torch.bucketize(values, borders, right=right)
    passed = torch.ge if right else torch.gt
    count = torch.zeros_like(values, dtype=torch.uint8)
    for border in borders.unbind():
        count += passed(values, border).view(torch.uint8)
    return count.long()


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return `table[index]` for a contiguous index: twice as fast as writing it so."""
    return table.index_select(0, index.view(-1)).view(index.shape)


def _scaled(
    weights: Tensor, count: int, group_size: GroupSize, channel_axis: int
) -> npt.NDArray[np.float64]:
    """Return the weights of all groups that vary, scaled to [0, 1], without padding."""
    require_quantizable(weights)
    require_group_size(group_size)
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= MOST_POINTS:
        raise QuantizationError(f"count={count!r} points, use a whole number in 2..{MOST_POINTS}")
    rows = to_rows(weights.detach().float(), group_size, channel_axis)
    scale, offset = group_scaling(rows, torch.float32)
    layout = (weights.shape, group_size, channel_axis)
    varies = from_rows((scale > 0)[:, None].expand_as(rows), *layout)
    unit = from_rows(to_unit(rows, scale, offset), *layout)
    scaled: npt.NDArray[np.float64] = unit[varies].double().cpu().numpy()
    return scaled


def _quantiles(scaled: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    shares = np.linspace(0, 1, count)
    return np.quantile(scaled, shares) if scaled.size else shares


def _require_points(points: Tensor) -> None:
    if points.dim() != 1 or not 2 <= points.numel() <= MOST_POINTS:
        raise QuantizationError(
            f"points have shape {tuple(points.shape)}, use one dimension of 2..{MOST_POINTS} values"
        )
    require_quantizable(points, "points")
    if (points[1:] < points[:-1]).any():
        raise QuantizationError(f"points {points.tolist()} are not ascending; sort them first")
