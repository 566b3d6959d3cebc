"""Baselines of trained ternary quantization: one learned scale, and none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.quantizers import QuantizedTensor, quantize_ternary, ternary_signs
from rlquant.quantizers.ste import straight_through, ternary_values
from rlquant.quantizers.tensor import require_quantizable
from rlquant.quantizers.weight_format import WeightForm
from rlquant.training.settings import TrainSettings
from rlquant.training.ternary import SMALLEST_SHARE, TernaryWeight
from rlquant.training.trainable_weight import TrainableWeight

LI_FACTOR = 0.7
Threshold = Callable[[Tensor], float]
"""Latent weights in, the zero zone as a share of the largest of them out."""


def common_scale(latent: Tensor, threshold: float) -> float:
    """Return the one scale of least squared error: the mean |w| of all that is not made 0.

    It is 1 where everything is.

    Source: Li et al. 2016, "Ternary weight networks".
    """
    positive, negative = ternary_signs(latent, threshold)
    outside = positive | negative
    return float(latent.detach().double().abs()[outside].mean()) if outside.any() else 1.0


def li_threshold(latent: Tensor) -> float:
    """Return 0.7 times the mean |w|, as a share of the largest.

    Source: Li et al. 2016, "Ternary weight networks".
    """
    sizes = latent.detach().double().abs()
    largest = float(sizes.amax())
    return min(1.0, LI_FACTOR * float(sizes.mean()) / largest) if largest else 0.0


class TwoScales(TernaryWeight):
    """Trained ternary weights whose scales begin at 1, as in the paper's released code.

    `TernaryWeight` begins at the scales of least squared error. The BatchNorm behind a layer takes
    up the difference, but the gradient of a latent weight outside the zero zone is as large as
    the scale, and inside it is not scaled.
    """

    scale_count = 2

    def __init__(self, form: WeightForm, weight: Tensor, **rule: Any) -> None:
        super().__init__(form, weight, **rule)
        self.scales = nn.Parameter(torch.ones(self.scale_count, device=weight.device))
        self._unit, self._smallest = 1.0, SMALLEST_SHARE


class OneScale(TwoScales):
    """The same with Wp and Wn tied: -W, 0 or +W, and W is learned."""

    scale_count = 1

    def forward(self, latent: Tensor) -> Tensor:
        """Return the ternary weight; W gets the gradients of Wp and Wn together."""
        require_quantizable(latent)
        positive, negative = ternary_signs(latent, self.threshold(latent))
        both = self.scales.expand(2)
        stored = both.detach().to(self.form.scale_dtype)
        return ternary_values(latent, both, stored, positive, negative)

    def project(self, latent: Tensor) -> QuantizedTensor:
        """Return the ternary weight as it is stored."""
        return symmetric(latent, self.scales.item(), self.threshold(latent), self.form)


class ClosedForm(TrainableWeight):
    """-W, 0 or +W with the scale of least squared error of the latent weights, at every step.

    Nothing but the latent weights is trained; they get the gradient unchanged.

    Args:
        form: how the weight is stored.
        threshold: zero zone; 0 makes the weights binary, -W or +W.

    Source: Li et al. 2016, "Ternary weight networks"; with a threshold of 0 it is the binary
        weight network of Rastegari et al. 2016 with one scale a layer.
    """

    def __init__(self, form: WeightForm, threshold: Threshold) -> None:
        super().__init__(form)
        self._threshold = threshold

    def forward(self, latent: Tensor) -> Tensor:
        """Return the ternary weight."""
        return straight_through(latent, self.project(latent).dequantize().to(latent.dtype))

    def project(self, latent: Tensor) -> QuantizedTensor:
        """Return the ternary weight as it is stored."""
        threshold = self._threshold(latent)
        return symmetric(latent, common_scale(latent, threshold), threshold, self.form)


def symmetric(latent: Tensor, scale: float, threshold: float, form: WeightForm) -> QuantizedTensor:
    """Return -W, 0 or +W as it is stored."""
    return quantize_ternary(latent, scale, scale, threshold=threshold, scale_dtype=form.scale_dtype)


# --- makers, as `Trainer` takes them


def two_scales(form: WeightForm, weight: Tensor, settings: TrainSettings) -> TwoScales:
    """Make trained ternary weights, the method of the paper."""
    return TwoScales(form, weight, **_rule(settings))


def one_scale(form: WeightForm, weight: Tensor, settings: TrainSettings) -> OneScale:
    """Make trained ternary weights with one scale."""
    return OneScale(form, weight, **_rule(settings))


def closed_form(form: WeightForm, weight: Tensor, settings: TrainSettings) -> ClosedForm:
    """Make ternary weights with a computed scale at the threshold of the settings."""
    return ClosedForm(form, lambda latent: settings.ternary_threshold)


def ternary_weight_network(form: WeightForm, weight: Tensor, settings: TrainSettings) -> ClosedForm:
    """Make ternary weights with a computed scale and a computed threshold (TWN)."""
    return ClosedForm(form, li_threshold)


def binary(form: WeightForm, weight: Tensor, settings: TrainSettings) -> ClosedForm:
    """Make binary weights with a computed scale; a weight of exactly 0 stays 0."""
    return ClosedForm(form, lambda latent: 0.0)


def _rule(settings: TrainSettings) -> dict[str, float | None]:
    return {"threshold": settings.ternary_threshold, "sparsity": settings.ternary_sparsity}
