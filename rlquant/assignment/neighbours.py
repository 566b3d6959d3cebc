"""The two points that each weight lies between: going down or up is what is to be chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlquant.assignment.grid import Grid
from rlquant.quantizers import QuantizedTensor


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """A layer's weights between their neighbouring points, in rows of one output channel each.

    All tensors have the shape `(groups, channels, fan_in)`. A weight outside all points has the
    two outermost ones for neighbours.

    Attributes:
        quantized: gives the grid.
        lower: index of the point below, int64.
        below: value of that point minus the weight, the error where the weight goes down.
        gap: value of the point above minus that of the point below; 0 in a constant bucket.
    """

    quantized: QuantizedTensor
    lower: Tensor
    below: Tensor
    gap: Tensor

    @classmethod
    def of(cls, weight: Tensor, quantized: QuantizedTensor, moments: Tensor) -> Neighbours:
        """Find the neighbours.

        Args:
            weight: the float weight, output channels first.
            quantized: gives the grid.
            moments: gives groups and fan-in, shape `(groups, fan_in, fan_in)`.
        """
        grid, plain = Grid.of(quantized), weight.detach().float()
        shape = (moments.shape[0], -1, moments.shape[1])
        inner = grid.codebook[1:-1]
        lower = torch.bucketize(grid.unit(plain).contiguous(), inner, right=True)
        values = [grid.offset + grid.scale * grid.codebook[lower + step] for step in (0, 1)]
        parts = (lower, values[0] - plain, values[1] - values[0])
        return cls(quantized, *(part.reshape(shape) for part in parts))

    @property
    def position(self) -> Tensor:
        """How far up a weight lies from the point below, as a share of the gap, 0..1."""
        return (-self.below / torch.where(self.gap > 0, self.gap, 1.0)).clamp(0.0, 1.0)

    @property
    def nearest(self) -> Tensor:
        """Whether nearest rounding goes up, bool; a tie goes down."""
        return self.position > 0.5

    def going_up(self, quantized: QuantizedTensor) -> Tensor:
        """Return where an assignment on the same grid is above the point below, bool."""
        return quantized.codes.long().reshape(self.lower.shape) > self.lower

    def error(self, up: Tensor) -> Tensor:
        """Return the error of the weights; `up` may also be a share between 0 and 1."""
        return self.below + self.gap * up

    def assigned(self, up: Tensor) -> QuantizedTensor:
        """Return the grid with every weight at one of its neighbours.

        Args:
            up: bool, shape `(groups, channels, fan_in)`.
        """
        codes = self.lower + (up & (self.gap > 0))
        given = self.quantized.codes
        return replace(self.quantized, codes=codes.reshape(given.shape).to(given.dtype))


def quadratic(error: Tensor, moments: Tensor) -> Tensor:
    """Return each output channel's error of its outputs, shape `(..., groups, channels)`.

    Args:
        error: of the weights, shape `(..., groups, channels, fan_in)`.
        moments: of the inputs, shape `(groups, fan_in, fan_in)`.
    """
    return ((error @ moments) * error).sum(dim=-1)
