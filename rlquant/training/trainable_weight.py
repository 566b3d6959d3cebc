"""Trainable weights: latent weights, and the quantized ones made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.rounding import layer_generator
from rlquant.quantizers.weight_format import WeightForm
from rlquant.rounding.grid import Grid


@dataclass(frozen=True, slots=True, eq=False)
class LearnedNumbers:
    """Parameters of a layer beside its latent weights.

    Attributes:
        parameter: what is trained.
        rate: name of the learning rate in `TrainSettings`.
        unit: what a relative rate is relative to.
    """

    parameter: nn.Parameter
    rate: str
    unit: float


@dataclass(frozen=True, slots=True, eq=False)
class LayerStart:
    """Where a layer's training begins, if not at its float weight.

    Attributes:
        latent: latent weights, shape of the weight.
        numbers: by name, the learned numbers ("scales" or "points").
    """

    latent: Tensor
    numbers: dict[str, Tensor]


class TrainableWeight(nn.Module, ABC):
    """The parametrization of a layer's `weight` while it is trained.

    `forward(latent)` is what the layer computes with, with gradients; `project(latent)` is what is
    stored. Both are the same values, bit for bit, except that a stochastic rounding is drawn
    again at each forward pass, and that what is stored is the layer's own draw.

    Args:
        form: how the weight is stored.
    """

    trains_latent = True
    """Whether the latent weights are trained."""

    def __init__(self, form: WeightForm) -> None:
        super().__init__()
        self.form = form
        self.draws = layer_generator(form.seed, f"{form.choice.layer}:training")

    @abstractmethod
    def forward(self, latent: Tensor) -> Tensor:
        """Return the quantized weight in the type of the latent one, with gradients."""

    @abstractmethod
    def project(self, latent: Tensor) -> QuantizedTensor:
        """Return the quantized weight as it is stored."""

    def learned(self) -> Sequence[LearnedNumbers]:
        """Return what is trained beside the latent weights; nothing here."""
        return ()

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Restore what must hold after each step; nothing here."""

    def holds_grid(self, latent: Tensor) -> Tensor | None:
        """Return where latent weights decide the grid of others, None where none does."""
        return None

    def narrowed(self, latent: Tensor, share: float) -> Tensor:
        """Return latent weights whose grid spans a share of the range; the same ones here."""
        return latent

    def settle(self, latent: Tensor, target: QuantizedTensor, margin: float) -> Tensor:
        """Return the latent weights nearest to `latent` that are projected to `target`'s codes.

        Args:
            latent: shape of the weight.
            target: of the grid that `latent` has.
            margin: how far from the borders of its cell a weight stays, as a share of the gap
                between the points there, 0..0.5. Under stochastic rounding they lie at the
                points, as nowhere else would always be projected there.
        """
        if self.form.choice.rounding == "stochastic":
            return target.dequantize().to(latent.dtype)
        return Grid.of(target).inside_cells(latent, target.codes, margin).to(latent.dtype)

    def numbers(self) -> dict[str, Tensor]:
        """Return copies of the learned numbers by name, as `LayerStart` takes them."""
        return {name: value.detach().clone() for name, value in self.named_parameters()}
