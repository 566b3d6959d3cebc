"""K-means codebooks with a scale and offset per group that are fitted to them.

Points that lie between the extremes of every group are few where the weights are: one outlier
widens its group's range, and puts the others in a different place of it than those of other groups.
Here groups share the points where their weights are dense, and outliers saturate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import GroupSize, Rounding
from rlquant.quantizers.affine import to_unit
from rlquant.quantizers.affine_range import narrowed_range, whole_range
from rlquant.quantizers.codebook import codes_at, look_up
from rlquant.quantizers.grouped_weights import GroupedWeights
from rlquant.quantizers.rounding import round_nearest
from rlquant.quantizers.tensor import (
    QuantizedTensor,
    round_for_storage,
)

Array = npt.NDArray[np.float64]
ALTERNATIONS = 3
"""Times that points are fitted to groups, and groups to points."""
LLOYD_ROUNDS = 50
BINS = 2**14
LOWEST, HIGHEST = -0.5, 1.5
"""Units that the histogram of the weights tells apart; the rest counts at its ends."""


@explained
def quantize_kmeans(
    weights: Tensor,
    bits: int,
    *,
    group_size: GroupSize = 256,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
    channel_axis: int = 0,
    importance: Tensor | None = None,
) -> QuantizedTensor:
    """Quantize to `2**bits` points of the whole layer, by k-means, and a range of each group.

    Begins at the affine grid of narrowed ranges, which it is never worse than. In turn, points
    are fitted to the groups' weights (Lloyd's algorithm on a histogram) and scale and offset of
    each group to the points (least squares). Deterministic under nearest rounding.

    Args:
        weights: float, any shape; never written to.
        bits: 1..8.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32 or float16, also of the stored points; codes are assigned with what
            is stored.
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts, at least 0, in a shape that broadcasts
            to that of the weights; all count alike by default.

    Returns:
        Kind "stored"; a constant group has scale 0 and is kept exactly (up to `scale_dtype`).

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Source: Lloyd 1982, "Least squares quantization in PCM".
    """
    given = weights.new_ones((), dtype=torch.float32) if importance is None else importance
    taken = GroupedWeights.of(
        weights, bits, group_size, rounding, generator, channel_axis, given, most_bits=8
    )
    rows, counts = taken.rows, taken.counts
    assert counts is not None
    start = narrowed_range(rows, whole_range(rows, bits, scale_dtype), counts)
    scale, offset, points = _fitted(rows, start.scale, start.second, bits, counts)
    codes = codes_at(to_unit(rows, scale, offset), points.float(), taken.round)
    return taken.with_codes(codes, "stored", scale=scale, offset=offset, values=points)


def _fitted(
    rows: Tensor, scale: Tensor, offset: Tensor, bits: int, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scale, offset and points with the least error found, as they are stored."""
    dtype = scale.dtype
    equal = torch.linspace(0, 1, 2**bits, device=rows.device)
    best = scale, offset, round_for_storage(equal, dtype)
    least = _error(rows, *best, counts).sum()
    for _ in range(ALTERNATIONS):
        points = round_for_storage(_lloyd(rows, scale, offset, counts, equal), dtype)
        equal = points.float()
        scale, offset = _least_squares(rows, scale, offset, points, counts)
        error = _error(rows, scale, offset, points, counts).sum()
        if not error < least:
            break
        best, least = (scale, offset, points), error
    return best


def _lloyd(rows: Tensor, scale: Tensor, offset: Tensor, counts: Tensor, points: Tensor) -> Tensor:
    """Return the points after Lloyd's algorithm on the weights in units of their groups."""
    weighed = (counts * scale.float().square()[:, None]).flatten()
    unit = to_unit(rows, scale, offset).flatten()
    place = (unit - LOWEST).mul_(BINS / (HIGHEST - LOWEST)).clamp_(0, BINS - 1).long()
    histogram = [
        torch.bincount(place, each, minlength=BINS).double().cpu().numpy()
        for each in (weighed, weighed * unit)
    ]
    starts = points.double().cpu().numpy(), _by_density(histogram[0], points.numel())
    mass, moment = (np.concatenate([[0.0], np.cumsum(each)]) for each in histogram)
    found = max((_settled(mass, moment, each) for each in starts), key=lambda pair: pair[1])[0]
    return torch.from_numpy(found).to(rows.device, torch.float32)


def _by_density(mass: Array, count: int) -> Array:
    """Return points as dense as is best for many of them: by the cube root of the weights' density.

    Source: Panter and Dite 1951, "Quantization distortion in pulse-count modulation".
    """
    share = np.cumsum(np.cbrt(mass))
    centres = LOWEST + (np.arange(BINS) + 0.5) * (HIGHEST - LOWEST) / BINS
    wanted = (np.arange(count) + 0.5) / count * share[-1]
    placed: Array = np.interp(wanted, share, centres)
    return placed


def _settled(mass: Array, moment: Array, points: Array) -> tuple[Array, float]:
    """Return points after Lloyd's algorithm, and how much of the squared weights they explain.

    Args:
        mass: of all bins below each border between two, shape `(BINS + 1,)`.
        moment: sum of the weights in them, same shape.
        points: where to begin, ascending.
    """
    explained = 0.0
    for _ in range(LLOYD_ROUNDS):
        middles = (points[1:] + points[:-1]) / 2
        inner = np.rint((middles - LOWEST) * (BINS / (HIGHEST - LOWEST))).clip(0, BINS)
        edges = np.concatenate([[0], inner, [BINS]]).astype(np.intp)
        taken, sums = np.diff(mass[edges]), np.diff(moment[edges])
        means = np.where(taken > 0, sums / np.where(taken > 0, taken, 1.0), points)
        explained = float((means * sums).sum())
        moved, points = not np.array_equal(means, points), np.sort(means)
        if not moved:
            break
    return points, explained


def _least_squares(
    rows: Tensor, scale: Tensor, offset: Tensor, points: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Return scale and offset that fit the groups' nearest points best, where they are better."""
    codes = codes_at(to_unit(rows, scale, offset), points.float(), round_nearest)
    values = look_up(points.float(), codes)
    total = counts.sum(dim=1, keepdim=True)
    weighed = counts / torch.where(total > 0, total, 1.0)
    means = (weighed * values).sum(dim=1), (weighed * rows).sum(dim=1)
    values -= means[0][:, None]
    weighed *= values
    slope = (weighed * (rows - means[1][:, None])).sum(dim=1) / (weighed * values).sum(dim=1)
    wanted = slope.to(scale.dtype), (means[1] - slope * means[0]).to(scale.dtype)
    errors = [_error(rows, *each, points, counts) for each in ((scale, offset), wanted)]
    better = (errors[1] < errors[0]) & (wanted[0] > 0) & (scale > 0)
    return torch.where(better, wanted[0], scale), torch.where(better, wanted[1], offset)


def _error(rows: Tensor, scale: Tensor, offset: Tensor, points: Tensor, counts: Tensor) -> Tensor:
    """Return the error of each group under nearest rounding."""
    codes = codes_at(to_unit(rows, scale, offset), points.float(), round_nearest)
    values = look_up(points.float(), codes).mul_(scale.float()[:, None])
    return values.add_(offset.float()[:, None]).sub_(rows).square_().mul_(counts).sum(dim=1)
