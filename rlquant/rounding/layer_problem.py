"""A layer's assignment as a problem for any agent: groups of weights that go up or down."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.errors import SettingsError, whole_number
from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grouping import Grouping
from rlquant.rounding.neighbours import Neighbours, quadratic

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

    Groups are numbered channel after channel.

    Attributes:
        between: the weights between their neighbours.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        grouping: which weights share an action.
        place: of the layer in the network, 0..1.
        nearest_error: error of the layer's outputs under nearest rounding of each weight, above 0.
    """

    between: Neighbours
    moments: Tensor
    grouping: Grouping
    place: float
    nearest_error: float

    @classmethod
    def of(
        cls,
        weight: Tensor,
        nearest: QuantizedTensor,
        moments: Tensor,
        *,
        weights_per_action: int = 1,
        place: float = 0.0,
    ) -> LayerProblem:
        """Group the weights of a layer.

        Args:
            weight: the float weight, output channels first.
            nearest: nearest rounding; gives the grid.
            moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
            weights_per_action: weights that share one; the last group of a channel may be smaller.
            place: of the layer in the network, 0..1.

        Raises:
            SettingsError: a group size below 1, or nothing that nearest rounding changes.
        """
        whole_number("weights_per_action", weights_per_action, 1)
        between = Neighbours.of(weight, nearest, moments)
        grouping = Grouping.of(between.position, weights_per_action)
        error = float(quadratic(between.error(between.nearest), moments).sum())
        if not error > 0:
            raise SettingsError(
                "nearest rounding leaves the layer's outputs as they are: nothing is to be chosen; "
                "use fewer bits or another layer"
            )
        return cls(between, moments, grouping, place, error)

    @property
    def count(self) -> int:
        """How many groups there are."""
        return self.grouping.sizes.numel()

    @property
    def nearest(self) -> Tensor:
        """The action that rounds each group's mean position to nearest, bool, `(count,)`."""
        return self._mean(self.between.position) > 0.5

    def improvement(self, up: Tensor) -> float:
        """Return the share of nearest rounding's error that an assignment saves, at most 1.

        Args:
            up: by group, bool, shape `(count,)`.
        """
        errors = quadratic(self.between.error(self._spread(up)), self.moments)
        return 1.0 - float(errors.sum()) / self.nearest_error

    def assigned(self, up: Tensor) -> QuantizedTensor:
        """Return the layer with every group where `up` says, bool, shape `(count,)`."""
        return self.between.assigned(self._spread(up))

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
        slope = 2 * between.gap * (between.error(self._spread(up)) @ self.moments)
        diagonal = self.moments.diagonal(dim1=1, dim2=2)[:, None, :]
        curvature = between.gap.square() * diagonal
        ratio = self._mean(slope) / (2 * self._mean(curvature)).clamp_min(1e-30)
        return ratio.clamp(-1.0, 1.0)

    def _mean(self, of_weights: Tensor) -> Tensor:
        return self.grouping.means(of_weights).flatten()

    def _spread(self, up: Tensor) -> Tensor:
        return self.grouping.spread(up.reshape(self.grouping.sizes.shape))
