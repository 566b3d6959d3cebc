"""Clipping: the scales of integer grids that make the squared error of each group least."""

from __future__ import annotations

import torch
from torch import Tensor

CLIP_RATIOS = tuple(0.95**k for k in range(1, 91))
"""Scales tried when clipping, as shares of the covering scale: down to 0.01."""
TRIED_AT_ONCE = 2**15
"""Weights times scales that are tried together: small layers cost operations, not arithmetic."""
TRIED_BETWEEN = 4
"""Scales tried before groups that are settled are left out."""
CLIP_REFINEMENTS = 6
"""Least-squares steps from the best of them."""
ROUNDING = 2.0**-9
"""More than the storage of a scale, or arithmetic in float32, changes a number by."""


def clipping_scale(
    rows: Tensor, covering: Tensor, bits: int, importance: Tensor | None = None
) -> Tensor:
    """Return the scale per row with the least squared error, starting from the covering one.

    Scales are tried from the covering one downwards. What clipping alone costs grows on the way,
    so that a group is settled once that is more than its least error so far. Every candidate is
    rounded to the type of `covering` before it is scored.

    Args:
        rows: groups, shape `(groups, size)`, float32.
        covering: of each group, as it is stored, above 0, shape `(groups,)`.
        bits: 1..16.
        importance: what each weight's squared error counts, shape of the rows; None for 1.
    """
    search = _Search(rows, covering, bits, importance)
    at_once = max(1, TRIED_AT_ONCE // rows.numel())
    ratios = torch.tensor(CLIP_RATIOS, dtype=torch.float32, device=rows.device)
    for some in torch.split(ratios, max(at_once, TRIED_BETWEEN)):
        for few in torch.split(some, at_once):
            search.keep_better(few[:, None])
        search.leave_out(~search.settled_at(float(some[-1])))
    search.watch_all()
    for _ in range(CLIP_REFINEMENTS):
        search.leave_out(search.keep_better(search.least_squares()[None]))
    return search.scale


class _Search:
    """The best scale of every row so far; rows that are settled are not looked at any more."""

    def __init__(
        self, rows: Tensor, covering: Tensor, bits: int, importance: Tensor | None
    ) -> None:
        base = covering.float()
        # In units of the covering scale squared errors neither overflow nor vanish.
        self._all = rows / base[:, None], base, importance
        self._bits = bits
        self.scale, self._ratio = covering.clone(), torch.ones_like(base)
        self.watch_all()
        self._error = squared_error(self._unit, self._ratio, bits, importance)

    def watch_all(self) -> None:
        """Look at all rows again."""
        self._unit, self._base, self._importance = self._all
        self._watched = torch.arange(len(self._base), device=self._base.device)

    def leave_out(self, open_: Tensor) -> None:
        """Look at those of the watched rows alone that are open, where that saves enough."""
        if int(open_.sum()) > 0.8 * len(open_):
            return
        self._watched, self._unit = self._watched[open_], self._unit[open_]
        self._base = self._base[open_]
        if self._importance is not None:
            self._importance = self._importance[open_]

    def keep_better(self, wanted: Tensor) -> Tensor:
        """Take for each row the best of some ratios, `(candidates, rows)`, if it is better.

        Returns:
            For which of the watched rows it was.
        """
        candidates = (self._base * wanted).to(self.scale.dtype)
        ratios = candidates.float() / self._base
        errors = squared_error(self._unit, ratios, self._bits, self._importance)
        errors = torch.where(errors.isnan(), torch.inf, errors)  # of a scale that rounds to 0
        error, index = errors.min(dim=0)  # the first of equals
        better = error < self._error[self._watched]
        found, index = self._watched[better], index[None, better]
        self.scale[found] = candidates[:, better].gather(0, index)[0]
        self._ratio[found] = ratios[:, better].gather(0, index)[0]
        self._error[found] = error[better]
        return better

    def settled_at(self, ratio: float) -> Tensor:
        """Return which watched rows cannot win at smaller ratios: clipping alone costs more."""
        half = 2 ** (self._bits - 1)
        reach = ratio * (1 + ROUNDING)
        beyond = self._unit.clamp(-half * reach, (half - 1) * reach).sub_(self._unit)
        clipped = _weighed(beyond.square_(), self._importance)
        settled: Tensor = clipped > self._error[self._watched] * (1 + ROUNDING)
        return settled

    def least_squares(self) -> Tensor:
        """Return the best ratio for the grid integers that the rows have now."""
        integers = _integers(self._unit, self._ratio[self._watched], self._bits)
        weighed = integers if self._importance is None else integers * self._importance
        return (self._unit * weighed).sum(dim=1) / (integers.mul_(weighed)).sum(dim=1)


def _integers(unit: Tensor, ratio: Tensor, bits: int) -> Tensor:
    """Return the nearest grid integers; which way a tie goes does not change the error."""
    half = 2 ** (bits - 1)
    return (unit / ratio[..., None]).round_().clamp_(-half, half - 1)


def squared_error(
    unit: Tensor, ratio: Tensor, bits: int, importance: Tensor | None = None
) -> Tensor:
    """Return the squared error per row on the grid with step `ratio`, in the shape of `ratio`.

    Args:
        unit: shape `(rows, size)`.
        ratio: shape `(rows,)` or `(candidates, rows)`.
        bits: 1..16.
        importance: what each weight's squared error counts, shape of `unit`; None for 1.
    """
    errors = _integers(unit, ratio, bits).mul_(ratio[..., None]).sub_(unit).square_()
    return _weighed(errors, importance)


def _weighed(squares: Tensor, importance: Tensor | None) -> Tensor:
    return (squares if importance is None else squares.mul_(importance)).sum(dim=-1)
