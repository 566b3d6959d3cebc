"""A layer's assignment as a problem for any agent: groups of weights that go up or down."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.assignment.neighbours import Neighbours, quadratic
from rlquant.errors import SettingsError, whole_number
from rlquant.quantizers import QuantizedTensor

GROUP_FEATURES = {
    "position": "mean position of the group's weights between their points: 0 below, 1 above",
    "below": "mean distance to the point below, in gaps",
    "above": "mean distance to the point above, in gaps",
    "scale": "mean gap of the group over the largest gap of the layer",
    "gradient": "slope of the layer's error towards up, over twice its curvature, clipped",
    "up": "whether the group is up now",
    "layer": "place of the layer in the network: 0 first, 1 last",
}
"""What an agent sees of a group."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerProblem:
    """Which groups of a layer's weights go to the upper of their two neighbouring points.

    A group is weights of one output channel with similar positions between their points, as only
    these can be rounded alike.

    Attributes:
        between: the weights between their neighbours.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        group_of: by weight, which group it is in, shape of `between.lower`.
        count: of groups.
        place: of the layer in the network, 0..1.
        nearest_error: error of the layer's outputs under nearest rounding of each weight, above 0.
    """

    between: Neighbours
    moments: Tensor
    group_of: Tensor
    count: int
    place: float
    nearest_error: float

    @classmethod
    def of(
        cls,
        weight: Tensor,
        nearest: QuantizedTensor,
        moments: Tensor,
        *,
        group_size: int = 1,
        place: float = 0.0,
    ) -> LayerProblem:
        """Group the weights of a layer.

        Args:
            weight: the float weight, output channels first.
            nearest: nearest rounding; gives the grid.
            moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
            group_size: weights that share an action; the last group of a channel may be smaller.
            place: of the layer in the network, 0..1.

        Raises:
            SettingsError: a group size below 1, or nothing that nearest rounding changes.
        """
        whole_number("group_size", group_size, 1)
        between = Neighbours.of(weight, nearest, moments)
        rows = between.position.flatten(0, 1)
        rank = torch.arange(rows.shape[1], device=rows.device).expand_as(rows)
        if group_size > 1:  # alone, weights keep their order
            rank = rows.argsort(dim=1, stable=True).argsort(dim=1)
        each = -(-rows.shape[1] // group_size)
        first = torch.arange(len(rows), device=rows.device)[:, None] * each
        group_of = (first + rank // group_size).reshape(between.lower.shape)
        error = float(quadratic(between.error(between.nearest), moments).sum())
        if not error > 0:
            raise SettingsError(
                "nearest rounding leaves the layer's outputs as they are: nothing is to be chosen; "
                "use fewer bits or another layer"
            )
        return cls(between, moments, group_of, len(rows) * each, place, error)

    @property
    def nearest(self) -> Tensor:
        """The action that rounds each group's mean position to nearest, bool, `(count,)`."""
        return self._mean(self.between.position) > 0.5

    def improvement(self, up: Tensor) -> float:
        """Return the share of nearest rounding's error that an assignment saves, at most 1.

        Args:
            up: by group, bool, shape `(count,)`.
        """
        errors = quadratic(self.between.error(up[self.group_of]), self.moments)
        return 1.0 - float(errors.sum()) / self.nearest_error

    def assigned(self, up: Tensor) -> QuantizedTensor:
        """Return the layer with every group where `up` says, bool, shape `(count,)`."""
        return self.between.assigned(up[self.group_of])

    def features(self, up: Tensor) -> Tensor:
        """Return `GROUP_FEATURES` of every group, in -1..1, shape `(count, features)`.

        Args:
            up: where the groups are now, bool, shape `(count,)`.
        """
        between = self.between
        position = self._mean(between.position)
        columns = (
            position,
            position,
            1.0 - position,
            self._mean(between.gap / between.gap.max()),
            self._gradient(up),
            up.to(position.dtype),
            torch.full_like(position, self.place),
        )
        return torch.stack(columns, dim=1)

    def _gradient(self, up: Tensor) -> Tensor:
        """Half the slope over the curvature, the curvature across weights of a group left out."""
        between = self.between
        slope = 2 * between.gap * (between.error(up[self.group_of]) @ self.moments)
        diagonal = self.moments.diagonal(dim1=1, dim2=2)[:, None, :]
        curvature = between.gap.square() * diagonal
        ratio = self._mean(slope) / (2 * self._mean(curvature)).clamp_min(1e-30)
        return ratio.clamp(-1.0, 1.0)

    def _mean(self, of_weights: Tensor) -> Tensor:
        index, flat = self.group_of.flatten(), of_weights.float().flatten()
        sums = flat.new_zeros(self.count).index_add_(0, index, flat)
        return sums / torch.bincount(index, minlength=self.count)
