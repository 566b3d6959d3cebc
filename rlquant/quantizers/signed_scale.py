"""Scales of either sign: a grid that reaches further below 0 than above may be turned over.

Of -8 .. 7 it decides which end the weight of largest magnitude lies at, as in ggml's types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import GroupSize, Rounding
from rlquant.quantizers.grouped_weights import GroupedWeights, parts_of
from rlquant.quantizers.integer_grid import integer_codes
from rlquant.quantizers.tensor import (
    QuantizedTensor,
    round_for_storage,
)

SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.72, 0.62, 0.5)
"""Of the scale that covers a group, tried upright and turned over; the best multiple of the points
taken then is the scale."""
REFINEMENTS = 2
"""Least-squares steps from the best of them."""
AT_ONCE = 2**17
"""Weights that are looked at together: what comes between stays in the processor's cache."""


@explained
def quantize_signed_scale(
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
    """Quantize to the integers of `bits` bits times a scale per group that may be negative.

    Args:
        weights: float, any shape; never written to.
        bits: 1..16.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower code) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32 or float16; codes are assigned with the stored scales.
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts, at least 0, in a shape that broadcasts
            to that of the weights; all count alike by default.

    Returns:
        Kind "integer"; the scale of least squared error found, 0 for a group of zeros.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Examples:
        >>> import torch
        >>> from rlquant.quantizers import quantize_signed_scale
        >>> quantize_signed_scale(torch.tensor([[-1.5, 0.5, 2.0]]), 3).dequantize()
        tensor([[-1.5000,  0.5000,  2.0000]])
    """
    taken = GroupedWeights.of(
        weights, bits, group_size, rounding, generator, channel_axis, importance
    )
    scale = signed_scale(taken.rows, Points.integers(bits), scale_dtype, taken.counts)
    codes = taken.codes(
        lambda rows, own: integer_codes(taken.round(in_units(rows, own)), bits), scale
    )
    return taken.with_codes(codes, "integer", scale=scale)


def in_units(rows: Tensor, scale: Tensor) -> Tensor:
    """Return rows in units of their scales; 0 where a scale is 0."""
    column = scale.float()[:, None]
    return torch.where(column != 0, rows / column, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """The values of a codebook, ascending, and what finds the nearest one.

    Attributes:
        nearest: values in units of the codebook in, the nearest values of it out; may write to
            what it is given.
        lowest: value, below 0.
        highest: value, at least 0.
    """

    nearest: Callable[[Tensor], Tensor]
    lowest: float
    highest: float

    @classmethod
    def integers(cls, bits: int) -> Points:
        """Return -2^(b-1) .. 2^(b-1)-1."""
        half: int = 2 ** (bits - 1)
        return cls(lambda unit: unit.round_().clamp_(-half, half - 1), -half, half - 1)

    @classmethod
    def of(cls, values: tuple[int, ...], device: torch.device) -> Points:
        """Return whole values; the borders between them are multiples of a half."""
        low, high = 2 * values[0], 2 * values[-1]
        points = torch.tensor(values, dtype=torch.float32, device=device)
        halves = torch.arange(low, high + 1, device=device) / 2
        table = points[torch.bucketize(halves - 0.25, (points[1:] + points[:-1]) / 2)]

        def nearest(unit: Tensor) -> Tensor:
            place = unit.mul_(2).ceil_().clamp_(low, high).sub_(low).int()
            return table.index_select(0, place.reshape(-1)).view(unit.shape)

        return cls(nearest, values[0], values[-1])

    def covering(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the smallest scale that covers what there are points for, at least 0."""
        scale = (low / self.lowest).clamp_min(0.0)
        return torch.maximum(scale, high / self.highest) if self.highest > 0 else scale


def signed_scale(
    rows: Tensor, points: Points, dtype: torch.dtype, importance: Tensor | None = None
) -> Tensor:
    """Return the scale per row with the least squared error found, shape `(groups,)`.

    Args:
        rows: groups, shape `(groups, size)`, float32.
        points: of the codebook.
        dtype: in which scales are stored.
        importance: what each weight's squared error counts, shape of the rows; None for 1.

    Returns:
        Scales as they are stored; 0 for a group of zeros.

    Raises:
        QuantizationError: a scale overflows in `dtype`.
    """
    return torch.cat(
        [
            _Search(rows[part], points, None if importance is None else importance[part]).scale(
                dtype
            )
            for part in parts_of(rows, AT_ONCE)
        ]
    )


class _Search:
    """The best scale of some rows, in units of the larger of the scales that cover."""

    def __init__(self, rows: Tensor, points: Points, importance: Tensor | None) -> None:
        low, high = rows.aminmax(dim=1)
        upright, turned = points.covering(low, high), points.covering(-high, -low)
        base = torch.maximum(upright, turned)
        # In these units sums of squares neither overflow nor vanish.
        self._base = torch.where(base > 0, base, 1.0)
        self._unit = rows / self._base[:, None]
        self._ways = upright / self._base, -turned / self._base
        self._points, self._weighed = points, self._unit
        self._counts = importance
        if importance is not None:
            largest = importance.amax(dim=1, keepdim=True)
            self._counts = importance / torch.where(largest > 0, largest, 1.0)
            self._weighed = self._unit * self._counts
        self._present = base > 0

    def scale(self, dtype: torch.dtype) -> Tensor:
        """Return the scales as they are stored."""
        best, gain = torch.ones_like(self._base), torch.full_like(self._base, -1.0)
        for share in SHARES:
            for covering in self._ways:
                ratio, found = self._fitted(covering * share)
                better = found > gain
                best, gain = torch.where(better, ratio, best), torch.where(better, found, gain)
        stored = self._stored(best, dtype)
        error = self._error(stored)
        for _ in range(REFINEMENTS):
            tried = self._stored(self._fitted(stored.float() / self._base)[0], dtype)
            found = self._error(tried)
            better = found < error
            stored, error = torch.where(better, tried, stored), torch.where(better, found, error)
        return stored

    def _nearest(self, ratio: Tensor) -> Tensor:
        inverse = torch.where(ratio != 0, 1 / ratio, 0.0)
        return self._points.nearest(self._unit * inverse[:, None])

    def _fitted(self, ratio: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best multiple of the points taken at a ratio, and what it takes off."""
        taken = self._nearest(ratio)
        along = (self._weighed * taken).sum(dim=1)
        squares = taken.square_() if self._counts is None else taken.square_().mul_(self._counts)
        length = squares.sum(dim=1)
        fits = length > 0
        length = torch.where(fits, length, 1.0)
        return torch.where(fits, along / length, ratio), torch.where(
            fits, along * along, 0
        ) / length

    def _stored(self, ratio: Tensor, dtype: torch.dtype) -> Tensor:
        return round_for_storage(torch.where(self._present, ratio * self._base, 0.0), dtype)

    def _error(self, stored: Tensor) -> Tensor:
        ratio = stored.float() / self._base
        errors = self._nearest(ratio).mul_(ratio[:, None]).sub_(self._unit).square_()
        return (errors if self._counts is None else errors.mul_(self._counts)).sum(dim=1)
