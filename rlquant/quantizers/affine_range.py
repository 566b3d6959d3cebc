"""Ranges of affine grids that make the weighted squared error of each group least."""

from __future__ import annotations

import torch
from torch import Tensor

SHARES = tuple(0.93**k for k in range(1, 16))
"""Of a group's range, tried from both ends together: down to a third."""
SHIFTS = (0.92, 0.84, 0.96, 1.04, 1.1)
"""Of the range, tried from one end at a time."""
REFINEMENTS = 3
"""Least-squares steps from the best of them."""


def narrowed_range(
    rows: Tensor, scale: Tensor, offset: Tensor, bits: int, importance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return each group's `(scale, offset)` with the least error found, as they are stored.

    Tried are narrower ranges about the middle, then at each end alone, then the scale and offset
    that are best for the codes so far (weighted least squares), as in llama.cpp's affine formats.

    Args:
        rows: groups, shape `(groups, size)`, float32.
        scale: greatest minus least point of each group, as it is stored; 0 is left alone.
        offset: least point of each group, as it is stored.
        bits: 1..16.
        importance: what each weight's squared error counts, shape of the rows.
    """
    search = _Search(rows, scale, offset, bits, importance)
    for share in SHARES:
        width = scale.float()
        search.try_(width * share, offset.float() + width * (1 - share) / 2)
    for share in SHIFTS:
        width = search.scale.float()
        search.try_(width * share, search.offset.float())
    for share in SHIFTS:
        width = search.scale.float()
        search.try_(width * share, search.offset.float() + width * (1 - share))
    for _ in range(REFINEMENTS):
        search.try_(*search.least_squares())
    return search.scale, search.offset


class _Search:
    """The best scale and offset of every row so far."""

    def __init__(
        self, rows: Tensor, scale: Tensor, offset: Tensor, bits: int, importance: Tensor
    ) -> None:
        unit = scale.float()
        unit = torch.where(unit > 0, unit, 1.0)[:, None]
        self._rows, self._unit, self._last = rows, unit, 2**bits - 1
        # In units of the range squared errors neither overflow nor vanish.
        largest = importance.amax(dim=1, keepdim=True)
        self._importance = importance / torch.where(largest > 0, largest, 1.0)
        self.scale, self.offset = scale.clone(), offset.clone()
        self._error = self._error_of(scale.float(), offset.float())

    def try_(self, scale: Tensor, offset: Tensor) -> None:
        """Take these numbers, rounded as they are stored, for the rows where they are better."""
        stored = scale.to(self.scale.dtype), offset.to(self.offset.dtype)
        error = self._error_of(*(each.float() for each in stored))
        better = (error < self._error) & (self.scale > 0) & (stored[0] > 0)
        self.scale = torch.where(better, stored[0], self.scale)
        self.offset = torch.where(better, stored[1], self.offset)
        self._error = torch.where(better, error, self._error)

    def least_squares(self) -> tuple[Tensor, Tensor]:
        """Return the best scale and offset for the codes that the rows have now."""
        codes = self._codes(self.scale.float(), self.offset.float()).div_(self._last)
        total = self._importance.sum(dim=1)
        total = torch.where(total > 0, total, 1.0)
        weighed = self._importance / total[:, None]
        means = (weighed * codes).sum(dim=1), (weighed * self._rows).sum(dim=1)
        codes.sub_(means[0][:, None])
        apart = self._rows - means[1][:, None]
        weighed *= codes
        scale = (weighed * apart).sum(dim=1) / (weighed.mul_(codes)).sum(dim=1)
        return scale, means[1] - scale * means[0]

    def _codes(self, scale: Tensor, offset: Tensor) -> Tensor:
        step = torch.where(scale > 0, scale, torch.inf)[:, None] / self._last
        codes: Tensor = ((self._rows - offset[:, None]) / step).round_().clamp_(0, self._last)
        return codes

    def _error_of(self, scale: Tensor, offset: Tensor) -> Tensor:
        codes = self._codes(scale, offset)
        values = codes.mul_(scale[:, None] / self._last).add_(offset[:, None])
        return values.sub_(self._rows).div_(self._unit).square_().mul_(self._importance).sum(dim=1)
