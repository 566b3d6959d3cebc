"""Assignment of weights column by column, each to the point nearest to what is wanted of it.

What is wanted of a weight depends on the errors of the other weights of its output channel, so that
columns (the weights of one input) are assigned one after another, all channels at once. Blocks of
columns take the errors outside the block together, by one product of matrices: of a large layer
most of the time is arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grid import Grid

BLOCK = 128
"""Columns of a block."""

Place = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Weights in units of the grid in, the codes of the nearest points and these points out."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A layer's weights and their grids by column, float32, shape `(groups, fan_in, channels)`.

    Attributes:
        weight: the float weight.
        step: what one unit of the grid is worth; 0 in a constant group.
        low: value of 0 units.
        place: finds the nearest points.
    """

    weight: Tensor
    step: Tensor
    low: Tensor
    place: Place

    @classmethod
    def of(cls, weight: Tensor, quantized: QuantizedTensor, order: Tensor) -> Columns:
        """Put the columns of a layer in order.

        Args:
            weight: the float weight, output channels first.
            quantized: gives the grid.
            order: of the inputs, shape `(groups, fan_in)`.
        """
        grid = Grid.of(quantized)
        step, low = grid.scale, grid.offset
        place = _nearest_of(quantized.codebook)
        if quantized.kind == "integer":
            low, place = -(2 ** (quantized.bits - 1)) * step, _nearest_up_to(2**quantized.bits - 1)
        elif quantized.kind == "affine":
            last = 2**quantized.bits - 1
            step, place = step / last, _nearest_up_to(last)
        plain = weight.detach().float()
        return cls(in_order(plain, order), in_order(step, order), in_order(low, order), place)

    def assign(self, coupling: Tensor, errors: Tensor, codes: Tensor, *, onward: bool) -> None:
        """Assign every column once, and write its codes and errors.

        A weight is wanted at its own value plus `coupling` times the errors of the others.

        Args:
            coupling: of columns with each other, its diagonal 0, shape `(groups, fan_in, fan_in)`.
            errors: weight minus its point, shape of the columns; changed.
            codes: float32, shape of the columns; changed.
            onward: whether `coupling` is lower triangular, so that only earlier columns matter.
        """
        inverse = torch.where(self.step != 0, 1 / self.step, 0.0)
        fan_in = self.weight.shape[1]
        for start in range(0, fan_in, BLOCK):
            stop = min(start + BLOCK, fan_in)
            wanted = self.weight[:, start:stop].clone()
            wanted.baddbmm_(coupling[:, start:stop, :start], errors[:, :start])
            if not onward:
                wanted.baddbmm_(coupling[:, start:stop, stop:], errors[:, stop:])
            within, own = coupling[:, start:stop, start:stop], errors[:, start:stop]
            for j, column in enumerate(range(start, stop)):
                near = slice(0, j) if onward else slice(None)
                at = torch.baddbmm(wanted[:, j : j + 1], within[:, j : j + 1, near], own[:, near])
                step, low = self.step[:, column], self.low[:, column]
                found, unit = self.place((at[:, 0] - low).mul_(inverse[:, column]))
                codes[:, column] = found
                own[:, j] = self.weight[:, column] - torch.addcmul(low, step, unit)


def in_order(values: Tensor, order: Tensor) -> Tensor:
    """Return values of weights by column, shape `(groups, fan_in, channels)`.

    Args:
        values: shape of the weight, output channels first.
        order: of the inputs, shape `(groups, fan_in)`.
    """
    groups, fan_in = order.shape
    columns = values.reshape(groups, -1, fan_in).transpose(1, 2)
    return columns.gather(1, order[:, :, None].expand_as(columns))


def out_of_order(columns: Tensor, order: Tensor, shape: torch.Size) -> Tensor:
    """Undo `in_order`."""
    index = order[:, :, None].expand_as(columns)
    return torch.empty_like(columns).scatter_(1, index, columns).transpose(1, 2).reshape(shape)


def _nearest_up_to(last: int) -> Place:
    """Return what finds the nearest of 0..last; a tie goes to the lower one."""

    def place(unit: Tensor) -> tuple[Tensor, Tensor]:
        found = unit.sub_(0.5).ceil_().clamp_(0, last)
        return found, found

    return place


def _nearest_of(codebook: Tensor) -> Place:
    """Return what finds the nearest of some points; a tie goes to the lower one."""
    middles = (codebook[1:] + codebook[:-1]) / 2

    def place(unit: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.bucketize(unit, middles)
        return found, codebook[found]

    return place
