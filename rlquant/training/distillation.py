"""Quantized distillation: latent weights that are projected to their points at every step."""

from __future__ import annotations

from torch import Tensor

from rlquant.network.weights import assign_weight, fake_weight, fit_weight
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.ste import straight_through
from rlquant.quantizers.weight_format import Fitted, WeightForm
from rlquant.training.group_range import GroupedWeight


class DistilledWeight(GroupedWeight):
    """Latent weights, assigned to points again at each step, with straight-through gradients.

    Clipping scales, fixed-point scales, quantile and k-means points are those of the float weight
    and stay; covering scales, minimum and range of a group follow the latent weights.

    Source: Polino et al. 2018, "Quantized distillation".
    """

    def __init__(self, form: WeightForm, weight: Tensor) -> None:
        super().__init__(form)
        self.fitted: Fitted
        self.register_buffer("fitted", fit_weight(weight, form))

    def forward(self, latent: Tensor) -> Tensor:
        """Return the projected weights; their gradient goes to the latent ones."""
        fake = fake_weight(latent.detach(), self.fitted, self.form, self.draws)
        return straight_through(latent, fake.values.to(latent.dtype))

    def project(self, latent: Tensor) -> QuantizedTensor:
        """Return the projected weights as they are stored."""
        return assign_weight(latent.detach(), self.fitted, self.form)
