"""Groups of weights that share one rounding action."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Which weights of an output channel share an action.

    Attributes:
        index: by weight, which of its channel's groups it is in, shape of the weights' rows.
        sizes: weights of each group, float, shape `(groups, channels, count)`.
    """

    index: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, position: Tensor, size: int) -> Grouping:
        """Group weights with similar positions, as only these can be rounded alike.

        Args:
            position: of the weights between their points, `(groups, channels, fan_in)`.
            size: weights of a group, 1 or more; the last one of a channel may be smaller. Where
                it is 1, weights keep their order.
        """
        fan_in = position.shape[-1]
        rank = torch.arange(fan_in, device=position.device).expand_as(position)
        if size > 1:
            rank = position.argsort(dim=-1, stable=True).argsort(dim=-1)
        index = rank // size
        empty = position.new_zeros(*position.shape[:-1], -(-fan_in // size))
        return cls(index, empty.scatter_add(-1, index, torch.ones_like(position)))

    def sums(self, of_weights: Tensor) -> Tensor:
        """Return the sum of each group, shape of `sizes`."""
        return torch.zeros_like(self.sizes).scatter_add(-1, self.index, of_weights.float())

    def means(self, of_weights: Tensor) -> Tensor:
        """Return the mean of each group, shape of `sizes`."""
        return self.sums(of_weights) / self.sizes

    def spread(self, of_groups: Tensor) -> Tensor:
        """Return what each weight's group has, shape `(..., *index.shape)`."""
        shape = (*of_groups.shape[: of_groups.dim() - self.index.dim()], *self.index.shape)
        return of_groups.gather(-1, self.index.expand(shape))
