"""Trained ternary quantization: latent weights and two learned scales per layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rlquant.quantizers import (
    QuantizedTensor,
    quantize_ternary,
    sparsity_threshold,
    ternary_scales,
    ternary_signs,
)
from rlquant.quantizers.ste import ternary_values
from rlquant.quantizers.tensor import require_quantizable
from rlquant.quantizers.weight_format import WeightForm
from rlquant.training.trainable_weight import LearnedNumbers, TrainableWeight

SMALLEST_SHARE = 1e-3
"""A scale is kept above this share of its start; below it, nothing would bring it back."""


class TernaryWeight(TrainableWeight):
    """-Wn, 0 or +Wp by a threshold on the latent weights; Wp and Wn are learned.

    Args:
        form: how the weight is stored.
        weight: the float weight, whose scales of least squared error are the start.
        threshold: zero zone, as a share of max |w|.
        sparsity: share of zeros, which then decides the threshold at every step.

    Source: Zhu et al. 2016, with both its rules for the threshold; the start is the closed form
    of Li et al. 2016, "Ternary weight networks", taken for each sign.
    """

    def __init__(
        self,
        form: WeightForm,
        weight: Tensor,
        *,
        threshold: float = 0.05,
        sparsity: float | None = None,
    ) -> None:
        super().__init__(form)
        self._threshold, self._sparsity = threshold, sparsity
        start = ternary_scales(weight, threshold=self.threshold(weight))
        self.scales = nn.Parameter(torch.tensor(start, dtype=torch.float32, device=weight.device))
        self._unit = sum(start) / 2
        smallest = max(SMALLEST_SHARE * min(start), torch.finfo(form.scale_dtype).tiny)
        self._smallest = min(smallest, min(start))

    def threshold(self, latent: Tensor) -> float:
        """Return the threshold in force, as a share of max |w|."""
        if self._sparsity is None:
            return self._threshold
        return sparsity_threshold(latent, self._sparsity)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the ternary weight; see `ternary_values` for its gradients."""
        require_quantizable(latent)  # of NaN every comparison is False: they would pass for zeros
        positive, negative = ternary_signs(latent, self.threshold(latent))
        stored = self.scales.detach().to(self.form.scale_dtype)
        return ternary_values(latent, self.scales, stored, positive, negative)

    def project(self, latent: Tensor) -> QuantizedTensor:
        """Return the ternary weight as it is stored."""
        positive, negative = self.scales.tolist()
        threshold, dtype = self.threshold(latent), self.form.scale_dtype
        return quantize_ternary(latent, positive, negative, threshold=threshold, scale_dtype=dtype)

    def holds_grid(self, latent: Tensor) -> Tensor:
        """Return where the largest weights are: the threshold is a share of them."""
        sizes = latent.detach().abs()
        return sizes == sizes.amax()

    def settle(self, latent: Tensor, target: QuantizedTensor, margin: float) -> Tensor:
        """Return the latent weights nearest to `latent` that fall into `target`'s zones."""
        delta = float(latent.detach().abs().amax()) * self.threshold(latent)
        inner, outer = delta * (1.0 - margin), delta * (1.0 + margin)
        zones = (latent.clamp(max=-outer), latent.clamp(-inner, inner), latent.clamp(min=outer))
        codes = target.codes.long()
        return torch.where(codes == 0, zones[0], torch.where(codes == 1, zones[1], zones[2]))

    def learned(self) -> Sequence[LearnedNumbers]:
        """Return the two scales."""
        return (LearnedNumbers(self.scales, "scale_rate", self._unit),)

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep both scales above 0."""
        with torch.no_grad():
            self.scales.clamp_(min=self._smallest)
