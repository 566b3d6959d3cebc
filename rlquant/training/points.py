"""Differentiable quantization: the points of a layer are trained, each weight takes the nearest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rlquant.network.weights import assign_weight, fake_weight, fit_weight
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.ste import values_at_points
from rlquant.quantizers.weight_format import WeightForm
from rlquant.training.group_range import GroupedWeight
from rlquant.training.trainable_weight import LearnedNumbers


class LearnedPoints(GroupedWeight):
    """Points in the [0, 1] of each group, trained; the assignment is made again at each step.

    With method "post_training" the latent weights stay, as in the paper; with "distilled" they
    are trained too.

    Args:
        form: how the weight is stored.
        weight: the float weight; its quantiles are the start.

    Source: Polino et al. 2018, "Differentiable quantization".
    """

    def __init__(self, form: WeightForm, weight: Tensor) -> None:
        super().__init__(form)
        self.trains_latent = form.choice.method == "distilled"
        points = fit_weight(weight, form)
        assert points is not None
        self.points = nn.Parameter(points.clone())

    def forward(self, latent: Tensor) -> Tensor:
        """Return the weights at their points; see `values_at_points` for the gradients."""
        fake = fake_weight(latent.detach(), self.points.detach(), self.form, self.draws)
        assert fake.codes is not None
        assert fake.scale is not None
        values, scale = fake.values.to(latent.dtype), fake.scale.to(latent.dtype)
        return values_at_points(latent, self.points, values, fake.codes, scale)

    def project(self, latent: Tensor) -> QuantizedTensor:
        """Return the weights at their points as they are stored."""
        return assign_weight(latent.detach(), self.points.detach(), self.form)

    def learned(self) -> Sequence[LearnedNumbers]:
        """Return the points."""
        return (LearnedNumbers(self.points, "point_rate", 1.0),)

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Sort the points, and with them what the optimizer remembers of each."""
        with torch.no_grad():
            ordered, order = self.points.sort(stable=True)
            self.points.copy_(ordered)
            for remembered in optimizer.state.get(self.points, {}).values():
                if isinstance(remembered, Tensor) and remembered.shape == self.points.shape:
                    remembered.copy_(remembered[order])
