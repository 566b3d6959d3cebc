"""Groups whose scales are small integers times a number that 256 weights share, as ggml's K types.

A super-block is so many groups of a row as have 256 weights together. Its groups have scales
`d * s` with s of 4 to 8 bits, and least points `-dmin * m` alike; d and dmin are float16. Where
there are no least points, s may be negative, which turns the grid of a group over. The
products are exact in float32, which is how they are kept and how ggml computes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import GroupSize, Rounding
from rlquant.quantizers.affine_range import narrowed_range, whole_range
from rlquant.quantizers.grouped_weights import GroupedWeights
from rlquant.quantizers.signed_scale import Points, signed_scale
from rlquant.quantizers.tensor import (
    CodebookKind,
    QuantizedTensor,
    round_for_storage,
)

WEIGHTS = 256
"""Of a super-block."""
NEXT = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
NEXT_MIRRORED = ((-1, 0), (1, 0))
"""Which multiples are next to a pair of them."""


def largest_multiple(bits: int, *, mirrored: bool) -> int:
    """Return the largest s and m: of 4 and 6 bits with offsets; of 6 and 8 with a sign without."""
    if mirrored:
        return 31 if bits <= 3 else 127
    return 15 if bits <= 2 else 63


@explained
def quantize_super_blocks(
    weights: Tensor,
    bits: int,
    *,
    mirrored: bool,
    group_size: GroupSize = 32,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    channel_axis: int = 0,
    importance: Tensor | None = None,
) -> QuantizedTensor:
    """Quantize to grids whose scales (and least points) are multiples of a super-block's own.

    The grids of least error are searched group by group; then, of the multiples next to them, those
    are taken with which the group's error is least.

    Args:
        weights: float, any shape; never written to.
        bits: 1..16.
        mirrored: True for grids of integers on both sides of 0 without offset (Q3_K, Q6_K), False
            for those from a least point of at most 0 upward (Q2_K, Q4_K, Q5_K).
        group_size: 16 or 32 in ggml; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower point) or "stochastic".
        generator: needed by "stochastic".
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts, at least 0, in a shape that broadcasts
            to that of the weights; all count alike by default.

    Returns:
        Kind "integer" or "steps", scales (and offsets) float32.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.
    """
    taken = GroupedWeights.of(
        weights, bits, group_size, rounding, generator, channel_axis, importance
    )
    rows = taken.rows
    per_row = _groups_of_a_row(weights.shape, group_size, channel_axis, len(rows))
    together = _groups_together(group_size)
    found = []
    for part in taken.parts(per_row):
        some = rows[part]
        counts = torch.ones_like(some) if taken.counts is None else taken.counts[part]
        multiples = _Multiples.of(some, bits, counts, per_row, together, mirrored)
        found.append(multiples.numbers(*multiples.nearby(some, counts)))
    scale, offset = (torch.cat(numbers) for numbers in zip(*found, strict=True))
    grid = _Grid(bits, mirrored)

    def made(some: Tensor, own_scale: Tensor, own_offset: Tensor) -> Tensor:
        return grid.codes(some, own_scale, own_offset, taken.round)

    codes = taken.codes(made, scale, offset)
    kind: CodebookKind = "integer" if mirrored else "steps"
    return taken.with_codes(codes, kind, scale=scale, offset=None if mirrored else offset)


def _groups_together(group_size: GroupSize) -> int:
    return 1 if isinstance(group_size, str) else max(1, WEIGHTS // group_size)


def _groups_of_a_row(shape: torch.Size, size: GroupSize, axis: int, groups: int) -> int:
    if isinstance(size, str):
        return 1
    return groups // shape[axis] if len(shape) > 1 else groups


@dataclass(frozen=True, slots=True)
class _Grid:
    """The integers of a code, and how rows are put on them."""

    bits: int
    mirrored: bool

    @property
    def lowest(self) -> int:
        """The integer of code 0."""
        half: int = 2 ** (self.bits - 1)
        return -half if self.mirrored else 0

    def codes(
        self, rows: Tensor, scale: Tensor, offset: Tensor, round_: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return the codes of rows, as float; 0 is the value where a scale is 0."""
        column = scale[..., None]
        unit = torch.where(column != 0, (rows - offset[..., None]) / column, 0.0)
        codes: Tensor = round_(unit) - self.lowest
        return codes.clamp_(0, 2**self.bits - 1)

    def error(self, rows: Tensor, scale: Tensor, offset: Tensor, counts: Tensor) -> Tensor:
        """Return the weighted squared error of each row."""
        integers = self.codes(rows, scale, offset, torch.round).add_(self.lowest)
        values = integers.mul_(scale[..., None]).add_(offset[..., None])
        return values.sub_(rows).square_().mul_(counts).sum(dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class _Multiples:
    """The numbers of super-blocks, and of each group the multiples nearest to what it wants.

    Attributes:
        grid: of the codes.
        top: the largest multiple.
        unit: d of each group's super-block, as it is stored, float32.
        unit_below: dmin of the same; 0 where grids are mirrored.
        steps: s of each group, float32.
        below: m of each group, float32.
    """

    grid: _Grid
    top: int
    unit: Tensor
    unit_below: Tensor
    steps: Tensor
    below: Tensor

    @classmethod
    def of(
        cls, rows: Tensor, bits: int, counts: Tensor, per_row: int, together: int, mirrored: bool
    ) -> _Multiples:
        """Search the grid of least error for each group, and the numbers of super-blocks."""
        grid, top = _Grid(bits, mirrored), largest_multiple(bits, mirrored=mirrored)
        if mirrored:
            scale = signed_scale(rows, Points.integers(bits), torch.float32, counts)
            below = torch.zeros_like(scale)
        else:
            found = narrowed_range(rows, whole_range(rows, bits, torch.float32), counts)
            least = found.offset.clamp_max(0.0)
            scale = (found.offset + found.scale - least) / (2**bits - 1)
            scale, below = scale.clamp_min(0.0), -least
        unit, unit_below = (_shared(each, per_row, together, top) for each in (scale, below))
        return cls(
            grid, top, unit, unit_below, _times(scale, unit, top), _times(below, unit_below, top)
        )

    def numbers(self, steps: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
        """Return scales and offsets, float32, as ggml computes them."""
        return self.unit * steps, -(self.unit_below * below)

    def _within(self, multiples: Tensor) -> Tensor:
        return multiples.clamp(-self.top if self.grid.mirrored else 0, self.top)

    def nearby(self, rows: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the multiples with the least error, of the nearest ones and those next to them."""
        steps, below = self.steps, self.below
        error = self.grid.error(rows, *self.numbers(steps, below), counts)
        for step, shift in NEXT_MIRRORED if self.grid.mirrored else NEXT:
            tried = self._within(self.steps + step), self._within(self.below + shift)
            found = self.grid.error(rows, *self.numbers(*tried), counts)
            better = found < error
            steps, below = (
                torch.where(better, new, old)
                for new, old in zip(tried, (steps, below), strict=True)
            )
            error = torch.where(better, found, error)
        return steps, below


def _shared(numbers: Tensor, per_row: int, together: int, top: int) -> Tensor:
    """Return what each group's super-block is stored with, so that `top` times it covers."""
    by_row = numbers.reshape(-1, per_row)
    missing = -per_row % together
    padded = torch.nn.functional.pad(by_row, (0, missing)).reshape(len(by_row), -1, together)
    unit = round_for_storage(padded.abs().amax(dim=2, keepdim=True) / top, torch.float16).float()
    return unit.expand(padded.shape).reshape(len(by_row), -1)[:, :per_row].reshape(-1)


def _times(numbers: Tensor, unit: Tensor, top: int) -> Tensor:
    return torch.where(unit > 0, numbers / unit, 0.0).round().clamp(-top, top)


def super_block_numbers(numbers: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Return d and the multiples that products `d * s` came of: `super_blocks, (..., groups)`.

    Args:
        numbers: products, float32, shape `(super_blocks, groups)`.
        top: the largest multiple, of either sign.

    Returns:
        float16 of shape `(super_blocks,)` and whole float32 of the shape of the numbers; their
        products are the numbers exactly.
    """
    largest = numbers.abs().amax(dim=1)
    unit = torch.zeros_like(largest)
    for multiple in range(top, 0, -1):
        tried = (largest / multiple).half().float()
        steps = torch.where(tried[:, None] > 0, numbers / tried[:, None], 0.0).round()
        exact = (steps * tried[:, None] == numbers).all(dim=1) & (steps.abs() <= top).all(dim=1)
        unit = torch.where((unit == 0) & exact, tried, unit)
        if (unit > 0).logical_or(largest == 0).all():
            break
    steps = torch.where(unit[:, None] > 0, numbers / unit[:, None], 0.0).round()
    if not torch.equal(steps * unit[:, None], numbers):
        raise AssertionError("numbers are no multiples of a float16")
    return unit.half(), steps
