"""The grid of values that each weight of a layer may take."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.groups import spread


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The values that each weight of a layer may take: offset + scale * codebook.

    Attributes:
        codebook: ascending, shape `(count,)`.
        scale: of each weight, shape of the weight; 0 in a constant group, below 0 where the grid
            is turned over.
        offset: of each weight, shape of the weight.
    """

    codebook: Tensor
    scale: Tensor
    offset: Tensor

    @classmethod
    def of(cls, quantized: QuantizedTensor) -> Grid:
        """Read the grid off a quantized weight."""
        shape = quantized.codes.shape
        layout = (shape, quantized.group_size, quantized.channel_axis)
        parts = []
        for numbers, default in ((quantized.scale, 1.0), (quantized.offset, 0.0)):
            if numbers is None:
                device = quantized.codes.device
                parts.append(torch.full(shape, default, dtype=torch.float32, device=device))
            else:
                parts.append(spread(numbers.float(), *layout).expand(shape))
        return cls(quantized.codebook, *parts)

    @property
    def middles(self) -> Tensor:
        """The borders between neighbouring points."""
        return (self.codebook[1:] + self.codebook[:-1]) / 2

    def unit(self, values: Tensor) -> Tensor:
        """Return values in units of the codebook."""
        return torch.where(self.scale != 0, (values - self.offset) / self.scale, 0.0)

    def inside_cells(self, values: Tensor, codes: Tensor, margin: float) -> Tensor:
        """Return the values nearest to `values` that round to `codes`.

        Args:
            values: shape of the weight.
            codes: shape of the weight.
            margin: how far from the borders of its cell a value stays, as a share of the gap
                between the points there, 0..0.5.
        """
        codes = codes.long()
        gaps = self.codebook[1:] - self.codebook[:-1]
        infinite = self.codebook.new_full((1,), torch.inf)
        lowest = torch.cat([-infinite, self.middles + margin * gaps])
        highest = torch.cat([self.middles - margin * gaps, infinite])
        kept = self.unit(values).clamp(lowest[codes], highest[codes])
        return torch.where(self.scale != 0, self.offset + self.scale * kept, values)
