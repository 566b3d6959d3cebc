"""Sampled weights of a layer whose assignment is learned: probabilities and points."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grid import Grid
from rlquant.rounding.neighbours import Neighbours
from rlquant.rounding.policy import greedy, prior_logits


class SampledWeight:
    """A layer's weights, each at one of two points by chance.

    Args:
        weight: the float weight.
        start: where the weights are, which is the likeliest at first.
        moments: of the layer's inputs.
        lean: logit towards the start, away from it elsewhere.
        prior: logits added are this times what is wanted between the points, less 1/2.
        trains_points: whether a stored codebook has gradients.

    Attributes:
        logits: of going up, shape `(groups, channels, fan_in)`.
        points: the codebook, with gradients where it is trained.
    """

    def __init__(
        self,
        weight: Tensor,
        start: QuantizedTensor,
        moments: Tensor,
        *,
        lean: float,
        prior: float,
        trains_points: bool,
    ) -> None:
        self._dtype, self._start = weight.dtype, start
        self._between = Neighbours.around(weight, start, moments)
        grid = Grid.of(start)
        shape = self._between.lower.shape
        self._scale, self._offset = grid.scale.reshape(shape), grid.offset.reshape(shape)
        toward = self._between.going_up(start).float() * 2 - 1
        self.logits = (prior_logits(self._between, prior) + lean * toward).requires_grad_()
        self.trains_points = trains_points and start.values is not None
        self.points = grid.codebook.clone().requires_grad_(self.trains_points)

    def at(self, up: Tensor) -> Tensor:
        """Return the weights; `up` may be shares, and has gradients if they have them."""
        lower = self._between.lower
        below, above = self.points[lower], self.points[lower + 1]
        values = self._offset + self._scale * (below + (above - below) * up)
        return values.reshape(self._start.codes.shape).to(self._dtype)

    def keep_order(self) -> None:
        """Keep points ascending: one that would overtake the next stays at it."""
        if self.trains_points:
            with torch.no_grad():
                self.points.copy_(self.points.cummax(dim=0).values)

    def assigned(self) -> QuantizedTensor:
        """Return the likeliest assignment, with points as they are stored."""
        found = self._between.assigned(greedy(self.logits.detach()))
        if not self.trains_points:
            return found
        assert found.values is not None
        return replace(found, values=self.points.detach().to(found.values.dtype))
