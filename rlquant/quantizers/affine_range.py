"""Ranges of affine grids: the whole range of each group, or that of the least weighted error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlquant.errors import QuantizationError
from rlquant.quantizers.grouped_weights import parts_of
from rlquant.quantizers.integer_grid import round_up
from rlquant.quantizers.tensor import offset_of, round_for_storage

SHARES = tuple(0.93**k for k in range(1, 16))
"""Of a group's range, tried from both ends together: down to a third."""
SHIFTS = (0.92, 0.84, 0.96, 1.04, 1.1)
"""Of the range, tried from one end at a time."""
REFINEMENTS = 3
"""Least-squares steps from the best of them."""
AT_ONCE = 2**17
"""Weights of which ranges are searched together: what comes between stays in the processor's cache.
"""
HALF_ZERO_POINT_BITS = 11
"""The widest codes of which float16 holds every one exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class AffineRange:
    """The ranges of groups as they are stored: scale, and offset or zero point; shape `(groups,)`.

    Attributes:
        bits: of a code.
        scale: greatest minus least point; 0 where all points are one.
        second: the offset, or the zero point, in the type of the scale.
        has_zero_point: which of the two.
        whole: whether the zero point is always one of the codes.
    """

    bits: int
    scale: Tensor
    second: Tensor
    has_zero_point: bool
    whole: bool = False

    @property
    def offset(self) -> Tensor:
        """The least points, float32."""
        if self.has_zero_point:
            return offset_of(self.scale, self.second, self.bits)
        return self.second.float()

    def moved(self, scale: Tensor, offset: Tensor) -> AffineRange:
        """Return the range of these numbers, rounded as they are stored."""
        second = offset
        if self.has_zero_point:
            second = torch.where(scale > 0, -offset / scale * (2**self.bits - 1), 0.0)
        if self.whole:
            second = second.round().clamp(0, 2**self.bits - 1)
        dtype = self.scale.dtype
        return replace(self, scale=scale.to(dtype), second=second.to(dtype))

    def at(self, groups: slice) -> AffineRange:
        """Return the ranges of some groups."""
        return replace(self, scale=self.scale[groups], second=self.second[groups])

    def where(self, mask: Tensor, other: AffineRange) -> AffineRange:
        """Return these ranges where the mask holds, else the other ones."""
        scale = torch.where(mask, self.scale, other.scale)
        second = torch.where(mask, self.second, other.second)
        return replace(self, scale=scale, second=second)


def whole_range(
    rows: Tensor, bits: int, dtype: torch.dtype, *, zero_point: bool = False
) -> AffineRange:
    """Return each group's range from minimum to maximum.

    Args:
        rows: groups, shape `(groups, size)`, float32.
        bits: 1..16.
        dtype: float32 or float16.
        zero_point: extend the range to 0, and shift it by at most half a step so that 0 is a
            point; both extremes stay within half a step of the outermost points.

    Raises:
        QuantizationError: a group's range overflows in `dtype`, or zero points do.
    """
    low, high = rows.aminmax(dim=1)
    if not zero_point:
        scale, offset = (round_for_storage(each, dtype) for each in (high - low, low))
        return AffineRange(bits, scale, offset, has_zero_point=False)
    if dtype == torch.float16 and bits > HALF_ZERO_POINT_BITS:
        raise QuantizationError(
            f"scale_dtype={dtype} holds zero points of at most {HALF_ZERO_POINT_BITS} bits, not "
            f"{bits}; use torch.float32"
        )
    scale = round_for_storage(round_up(range_with_zero(low, high), dtype), dtype)
    zeros = nearest_zero_point(low, scale.float(), bits)
    return AffineRange(bits, scale, zeros.to(dtype), has_zero_point=True)


def range_with_zero(low: Tensor, high: Tensor) -> Tensor:
    """Return the width of ranges that are extended to 0."""
    return high.clamp_min(0.0) - low.clamp_max(0.0)


def nearest_zero_point(low: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the whole zero point at which the least point is nearest to `low`, 0..2**bits - 1.

    A tie goes up, so that, as ties of weights go down, both outermost codes are taken, and
    quantized weights are quantized to themselves.
    """
    last = 2**bits - 1
    share = -low.clamp_max(0.0) / torch.where(scale > 0, scale, torch.inf)
    return share.mul(last).add_(0.5).floor_().clamp_(0, last)


def narrowed_range(
    rows: Tensor, start: AffineRange, importance: Tensor, *, whole: bool = False
) -> AffineRange:
    """Return the ranges with the least error found, which may leave 0 between two points.

    Tried are narrower ranges about the middle, then at each end alone, then the scale and offset
    that are best for the codes so far (weighted least squares), as in llama.cpp's affine formats.

    Args:
        rows: groups, shape `(groups, size)`, float32.
        start: where to begin, never worse than the result; a scale of 0 is left alone.
        importance: what each weight's squared error counts, shape of the rows.
        whole: keep the zero point one of the codes.
    """
    start = replace(start, whole=whole)
    found = [
        _narrowed(rows[part], start.at(part), importance[part]) for part in parts_of(rows, AT_ONCE)
    ]
    scale, second = torch.cat([f.scale for f in found]), torch.cat([f.second for f in found])
    return replace(start, scale=scale, second=second)


def _narrowed(rows: Tensor, start: AffineRange, importance: Tensor) -> AffineRange:
    search = _Search(rows, start, importance)
    low, width = start.offset, start.scale.float()
    if start.has_zero_point:
        low, high = rows.aminmax(dim=1)
        width = high - low
        search.try_(width, low)
    for share in SHARES:
        search.try_(width * share, low + width * (1 - share) / 2)
    for share in SHIFTS:
        width = search.scale
        search.try_(width * share, search.offset)
    for share in SHIFTS:
        width = search.scale
        search.try_(width * share, search.offset + width * (1 - share))
    for _ in range(REFINEMENTS):
        search.try_(*search.least_squares())
    return search.best


class _Search:
    """The best range of every row so far."""

    def __init__(self, rows: Tensor, start: AffineRange, importance: Tensor) -> None:
        unit = start.scale.float()
        unit = torch.where(unit > 0, unit, 1.0)[:, None]
        self._rows, self._unit, self._last = rows, unit, 2**start.bits - 1
        # In units of the range squared errors neither overflow nor vanish.
        largest = importance.amax(dim=1, keepdim=True)
        self._importance = importance / torch.where(largest > 0, largest, 1.0)
        self.best = start
        self._error = self._error_of(start)

    @property
    def scale(self) -> Tensor:
        """Of the best range, float32."""
        return self.best.scale.float()

    @property
    def offset(self) -> Tensor:
        """Of the best range, float32."""
        return self.best.offset

    def try_(self, scale: Tensor, offset: Tensor) -> None:
        """Take these numbers, rounded as they are stored, for the rows where they are better."""
        stored = self.best.moved(scale, offset)
        error = self._error_of(stored)
        better = (error < self._error) & (self.best.scale > 0) & (stored.scale > 0)
        self.best = stored.where(better, self.best)
        self._error = torch.where(better, error, self._error)

    def least_squares(self) -> tuple[Tensor, Tensor]:
        """Return the best scale and offset for the codes that the rows have now."""
        codes = self._codes(self.best).div_(self._last)
        total = self._importance.sum(dim=1)
        total = torch.where(total > 0, total, 1.0)
        weighed = self._importance / total[:, None]
        means = (weighed * codes).sum(dim=1), (weighed * self._rows).sum(dim=1)
        codes.sub_(means[0][:, None])
        apart = self._rows - means[1][:, None]
        weighed *= codes
        scale = (weighed * apart).sum(dim=1) / (weighed.mul_(codes)).sum(dim=1)
        return scale, means[1] - scale * means[0]

    def _codes(self, tried: AffineRange) -> Tensor:
        scale = tried.scale.float()
        step = torch.where(scale > 0, scale, torch.inf)[:, None] / self._last
        codes: Tensor = ((self._rows - tried.offset[:, None]) / step).round_()
        return codes.clamp_(0, self._last)

    def _error_of(self, tried: AffineRange) -> Tensor:
        codes = self._codes(tried)
        values = codes.mul_(tried.scale.float()[:, None] / self._last).add_(tried.offset[:, None])
        return values.sub_(self._rows).div_(self._unit).square_().mul_(self._importance).sum(dim=1)
