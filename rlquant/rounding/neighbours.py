"""The two neighbouring points of each weight, between which rounding chooses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grid import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """A layer's weights between their neighbouring points, in rows of one output channel each.

    All tensors have the shape `(groups, channels, fan_in)`. A weight outside all points has the
    two outermost ones for neighbours.

    Attributes:
        quantized: gives the grid.
        lower: index of the point below, int64.
        below: value of that point minus the weight, the error where the weight goes down.
        gap: value of the point above minus that of the point below; 0 in a constant group, below 0
            where a negative scale turns the grid over.
        position: how far up from the point below lies what is wanted of the weight, as a share of
            the gap, 0..1.
    """

    quantized: QuantizedTensor
    lower: Tensor
    below: Tensor
    gap: Tensor
    position: Tensor

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
        below, gap = (values[0] - plain).reshape(shape), (values[1] - values[0]).reshape(shape)
        return cls(quantized, lower.reshape(shape), below, gap, _share(-below, gap))

    @classmethod
    def around(cls, weight: Tensor, quantized: QuantizedTensor, moments: Tensor) -> Neighbours:
        """Find for each weight the point where it is, and the one towards what is wanted of it.

        What is wanted of a weight, the others held, makes the error of the layer's outputs least.

        Args:
            weight: the float weight, output channels first.
            quantized: where the weights are; gives the grid.
            moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        """
        grid = Grid.of(quantized)
        shape = (moments.shape[0], -1, moments.shape[1])
        scale, offset = grid.scale.reshape(shape), grid.offset.reshape(shape)
        plain, codes = (t.reshape(shape) for t in (weight.detach().float(), quantized.codes.long()))
        now = offset + scale * grid.codebook[codes]
        curvature = moments.diagonal(dim1=1, dim2=2)[:, None, :].clamp_min(1e-30)
        wanted = now - (now - plain) @ moments / curvature
        last = len(grid.codebook) - 2
        lower = torch.where((wanted - now) * scale >= 0, codes, codes - 1).clamp(0, last)
        low, high = (offset + scale * grid.codebook[lower + step] for step in (0, 1))
        return cls(quantized, lower, low - plain, high - low, _share(wanted - low, high - low))

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
        codes = self.lower + (up & (self.gap != 0))
        given = self.quantized.codes
        return replace(self.quantized, codes=codes.reshape(given.shape).to(given.dtype))


def _share(distance: Tensor, gap: Tensor) -> Tensor:
    return (distance / torch.where(gap != 0, gap, 1.0)).clamp(0.0, 1.0)


def quadratic(error: Tensor, moments: Tensor) -> Tensor:
    """Return each output channel's error of its outputs, shape `(..., groups, channels)`.

    Args:
        error: of the weights, shape `(..., groups, channels, fan_in)`.
        moments: of the inputs, shape `(groups, fan_in, fan_in)`.
    """
    return ((error @ moments) * error).sum(dim=-1)
