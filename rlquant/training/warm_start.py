"""Warm starts of short training runs: each layer fitted to the float layer's outputs.

What comes out depends on the float network, the layer and its choice alone, never on earlier
evaluations, so that it can be made once and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.network.weights import Moments
from rlquant.quantizers.weight_format import WeightForm
from rlquant.rounding.coordinate_descent import descend
from rlquant.rounding.output_error import channel_errors, reconstruction_error
from rlquant.training.mixed_network import WeightMaker, trainable_weight
from rlquant.training.settings import TrainSettings
from rlquant.training.trainable_weight import LayerStart, TrainableWeight

STEPS = 40
NUMBER_RATE = 0.02
"""Steps in which scales or points are fitted, and their first rate relative to their unit."""
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Of a group's range, tried where the latent weights decide it."""
MARGIN = 0.1
"""How far inside its cell a reassigned weight begins; nearer to the border it would soon leave."""


def adapt_layer(weight: Tensor, trainable: TrainableWeight, moments: Tensor | None) -> LayerStart:
    """Bring a layer's outputs near those of the float one, on its own.

    Learned numbers are fitted, then weights are assigned again by coordinate descent on the error
    of the outputs, and latent weights moved just inside the cells they are assigned to.

    Args:
        weight: the float weight.
        trainable: fresh; its learned numbers are changed.
        moments: see `reconstruction_error`.
    """
    fit_numbers(weight, weight, trainable, moments)
    latent = weight
    if trainable.trains_latent and moments is not None:
        latent = reassigned(weight, trainable, moments)
        fit_numbers(weight, latent, trainable, moments)
    return LayerStart(latent, trainable.numbers())


def reassigned(weight: Tensor, trainable: TrainableWeight, moments: Tensor) -> Tensor:
    """Return latent weights whose projection has a smaller error than that of `weight`."""
    plain = weight.contiguous()
    held = trainable.holds_grid(plain)
    near = best_range(plain, trainable, moments)
    start = trainable.project(near)
    settled = descend(plain, start, moments, movable=None if held is None else ~held)
    latent = trainable.settle(near, settled, MARGIN)
    if held is not None:  # else the grid would be another one
        latent = torch.where(held, near, latent)
    errors = [
        float(reconstruction_error(trainable.project(each).dequantize() - plain, moments))
        for each in (plain, latent)
    ]
    return torch.empty_like(weight).copy_(latent if errors[1] < errors[0] else plain)


def best_range(weight: Tensor, trainable: TrainableWeight, moments: Tensor) -> Tensor:
    """Return the weights clamped to the share of their range that makes the least error.

    Where groups are output channels each has its own share, else all have one. At few bits an
    outlier costs a group most of its points, and training alone hardly moves it.
    """
    if trainable.narrowed(weight, SHARES[-1]) is weight:
        return weight
    own = trainable.form.group_size == "channel"
    found, least = weight, None
    for share in SHARES:
        clamped = trainable.narrowed(weight, share)
        errors = channel_errors(trainable.project(clamped).dequantize() - weight, moments)
        errors = errors if own else errors.sum().expand_as(errors)
        if least is None:
            found, least = clamped, errors
            continue
        better = (errors < least).reshape(-1, *[1] * (weight.dim() - 1))
        found, least = torch.where(better, clamped, found), torch.minimum(errors, least)
    return found


def fit_numbers(
    weight: Tensor, latent: Tensor, trainable: TrainableWeight, moments: Tensor | None
) -> None:
    """Fit scales or points of a layer to its float outputs by Adam; the best ones are kept."""
    if not trainable.learned():
        return
    groups = [{"params": [n.parameter], "base": NUMBER_RATE * n.unit} for n in trainable.learned()]
    optimizer = torch.optim.Adam(groups, lr=0.0, betas=(0.9, 0.99))
    scale = reconstruction_error(weight, moments).clamp_min(1e-30)
    latent = latent.detach()
    best_error, best = torch.inf, trainable.numbers()
    for step in range(STEPS + 1):
        with torch.enable_grad():
            loss = reconstruction_error(trainable(latent) - weight, moments) / scale
        error = float(loss.detach())
        if error < best_error:
            best_error, best = error, trainable.numbers()
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * (1.0 - step / (STEPS + 1))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        trainable.after_step(optimizer)
    with torch.no_grad():
        for name, parameter in trainable.named_parameters():
            parameter.copy_(best[name])


class WarmStarts:
    """Adapts a layer on first request and remembers where its training begins.

    Args:
        weights: float weight of each layer.
        form: gives a layer's form for its choice.
        moments: gives the matrix by which each layer's weight errors count, called on first use.
        settings: thresholds of ternary layers.
        make_weight: makes what trains a layer's weight.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        form: Callable[[LayerChoice], WeightForm],
        moments: Moments,
        settings: TrainSettings,
        make_weight: WeightMaker = trainable_weight,
    ) -> None:
        self._weights, self._form, self._moments = dict(weights), form, moments
        self._settings, self._make_weight = settings, make_weight
        self._starts: dict[LayerChoice, LayerStart | None] = {}

    def __call__(self, choice: LayerChoice) -> LayerStart | None:
        """Return where the layer of a canonical choice begins, None where nothing is trained."""
        if choice not in self._starts:
            weight = self._weights[choice.layer]
            trainable = self._make_weight(self._form(choice), weight, self._settings)
            moments = self._moments().get(choice.layer)
            self._starts[choice] = (
                None if trainable is None else adapt_layer(weight, trainable, moments)
            )
        return self._starts[choice]
