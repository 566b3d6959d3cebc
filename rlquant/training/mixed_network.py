"""A mixed network in training, each layer by the method of its choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.cost.float_share import NORMALISATIONS
from rlquant.errors import QuantizationError
from rlquant.network.input_ranges import Ranges
from rlquant.network.modules import install_activation
from rlquant.network.quantize import activation_quantizer, build_quantized
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.weight_format import WeightForm
from rlquant.training.distillation import DistilledWeight
from rlquant.training.memory_layout import lay_out
from rlquant.training.modes import train_batch_norms_alone
from rlquant.training.points import LearnedPoints
from rlquant.training.settings import TrainSettings
from rlquant.training.ternary import TernaryWeight
from rlquant.training.trainable_weight import LayerStart, TrainableWeight
from rlquant.weight_sites import site_of


def trainable_weight(
    form: WeightForm, weight: Tensor, settings: TrainSettings
) -> TrainableWeight | None:
    """Return what trains a layer's weight, None where its codes are frozen.

    Args:
        form: how the weight is stored.
        weight: the float weight.
        settings: thresholds of ternary layers.
    """
    choice = form.choice
    if choice.method == "ternary":
        return TernaryWeight(
            form,
            weight,
            threshold=settings.ternary_threshold,
            sparsity=settings.ternary_sparsity,
        )
    if choice.points == "learned":
        return LearnedPoints(form, weight)
    return DistilledWeight(form, weight) if choice.method == "distilled" else None


WeightMaker = Callable[[WeightForm, Tensor, TrainSettings], TrainableWeight | None]
"""What `trainable_weight` does; experiments put their own variants of a method in its place."""


class MixedNetwork:
    """A copy of a float network that is trained as a configuration says.

    Args:
        network: float network; left as it is.
        config: canonical, at a fidelity that trains.
        form: gives a layer's form for its choice.
        frozen: gives the quantized weight of a choice whose codes are frozen.
        settings: learning rates and thresholds.
        ranges: of the layers' inputs in the float network, where activations are quantized.
        start: where a layer's training begins, None for its float weight.
        make_weight: makes what trains a layer's weight.
        layout: of the weights of convolutions.
    """

    def __init__(
        self,
        network: nn.Module,
        config: QuantizationConfig,
        *,
        form: Callable[[LayerChoice], WeightForm],
        frozen: Callable[[LayerChoice], QuantizedTensor],
        settings: TrainSettings,
        ranges: Ranges,
        start: Callable[[LayerChoice], LayerStart | None] = lambda choice: None,
        make_weight: WeightMaker = trainable_weight,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self.config, self._float, self._ranges = config, network, ranges
        self._settings, self._make_weight = settings, make_weight
        self._frozen: dict[str, QuantizedTensor] = {}
        self._units: dict[str, float] = {}
        self.weights: dict[str, TrainableWeight] = {}
        self.network = lay_out(copy_network(network), layout)
        for choice in config:
            if choice.method != "float":
                self._prepare(choice, form(choice), frozen, start)
        if settings.dropout:
            self.network.train()
        else:
            train_batch_norms_alone(self.network)
        for parameter in self._shifts():
            parameter.requires_grad_()
        if settings.train_kept:
            for parameter in self._kept():
                parameter.requires_grad_()

    def _prepare(
        self,
        choice: LayerChoice,
        form: WeightForm,
        frozen: Callable[[LayerChoice], QuantizedTensor],
        start: Callable[[LayerChoice], LayerStart | None],
    ) -> None:
        site = site_of(self.network, choice.layer)
        module, weight = site.owner_in(self.network), site.weight_in(self.network)
        assert isinstance(weight, nn.Parameter)
        trainable = self._make_weight(form, weight.detach(), self._settings)
        if trainable is None:
            self._frozen[choice.layer] = tensor = frozen(choice)
            weight.data.copy_(tensor.dequantize())
        else:
            self._units[choice.layer] = float(weight.detach().square().mean().sqrt()) or 1.0
            begin(trainable, weight, start(choice))
            weight.requires_grad_(trainable.trains_latent)
            parametrize.register_parametrization(module, "weight", trainable, unsafe=True)
            self.weights[choice.layer] = trainable
        if choice.activation_bits is not None:
            quantizer = activation_quantizer(choice, self._ranges)
            install_activation(module, quantizer.to(weight.device))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        first: Tensor = next(self.network.parameters())
        return first.device

    # --- what trains

    def latent(self, layer: str) -> nn.Parameter:
        """Return the latent weights of a layer that is trained."""
        module = self.network.get_submodule(layer)
        original = module.parametrizations.weight.original
        assert isinstance(original, nn.Parameter)
        return original

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups, each with its largest learning rate as `base`."""
        settings, relative = self._settings, self._settings.optimizer == "adam"
        groups = []
        for name, trainable in self.weights.items():
            if trainable.trains_latent:
                unit = self._units[name] if relative else 1.0
                rate, decay = settings.learning_rate * unit, settings.weight_decay
                groups.append(_group([self.latent(name)], rate, decay))
            for learned in trainable.learned():
                unit = learned.unit if relative else 1.0
                groups.append(_group([learned.parameter], getattr(settings, learned.rate) * unit))
        groups.append(_group(list(self._shifts()), settings.bias_rate))
        if settings.train_kept:
            groups += self._kept_groups()
        return [group for group in groups if group["params"]]

    def _kept_groups(self) -> Iterator[dict[str, Any]]:
        settings, relative = self._settings, self._settings.optimizer == "adam"
        for parameter in self._kept():
            unit = float(parameter.detach().square().mean().sqrt()) or 1.0
            rate = settings.learning_rate * (unit if relative else 1.0)
            yield _group([parameter], rate, settings.weight_decay)

    def _kept(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that no configuration would train, tied ones once."""
        seen = {id(parameter) for parameter in self._shifts()}
        quantized = {
            id(site_of(self.network, c.layer).owner_in(self.network))
            for c in self.config
            if c.method != "float"
        }
        for module in self.network.modules():
            if id(module) in quantized or isinstance(module, parametrize.ParametrizationList):
                continue
            for parameter in module.parameters(recurse=False):
                if id(parameter) not in seen and not isinstance(module, TrainableWeight):
                    seen.add(id(parameter))
                    yield parameter

    def _shifts(self) -> Iterator[nn.Parameter]:
        """Yield the biases, and the affine parameters of normalisations, tied ones once."""
        seen: set[int] = set()
        for module in self.network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                shifts = name == "bias" or isinstance(module, NORMALISATIONS)
                if shifts and id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield parameter

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Restore what must hold after each step."""
        for trainable in self.weights.values():
            trainable.after_step(optimizer)

    def require_storable(self) -> None:
        """Raise `QuantizationError` where what was trained is NaN or cannot be stored."""
        for choice in self.config:
            if choice.layer in self.weights:
                self._projected(choice)
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad and not torch.isfinite(parameter).all():
                raise QuantizationError(f"{name} has NaN or infinite values")

    def state(self) -> list[Tensor]:
        """Return the tensors that training changes."""
        return [t.detach() for t in chain(self.network.parameters(), self.network.buffers())]

    # --- the end

    def finish(self) -> nn.Module:
        """Return the quantized network, projected once more, in eval mode, not calibrated."""
        quantized = build_quantized(self._float, self.config, self._projected, self._ranges)
        skipped: dict[str, set[str]] = {}
        for choice in self.config:
            if choice.method != "float":
                site = site_of(self.network, choice.layer)
                skipped.setdefault(site.owner, set()).add(site.parameter)
        trained = dict(self.network.named_modules())
        with torch.no_grad():
            for name, module in quantized.named_modules():
                if name in trained:
                    _copy_tensors(trained[name], module, skipped.get(name, set()))
        return quantized

    def _projected(self, choice: LayerChoice) -> QuantizedTensor:
        if choice.layer in self._frozen:
            return self._frozen[choice.layer]
        # In the float weight's layout: what is stored must not depend on how it was trained.
        weight = site_of(self._float, choice.layer).weight_in(self._float)
        latent = torch.empty_like(weight).copy_(self.latent(choice.layer).detach())
        return self.weights[choice.layer].project(latent)


def begin(trainable: TrainableWeight, latent: Tensor, start: LayerStart | None) -> None:
    """Put a layer where its training begins."""
    if start is None:
        return
    with torch.no_grad():
        latent.copy_(start.latent)
        for name, parameter in trainable.named_parameters():
            parameter.copy_(start.numbers[name])


def _group(
    parameters: list[nn.Parameter], rate: float, weight_decay: float = 0.0
) -> dict[str, Any]:
    return {"params": parameters, "lr": rate, "base": rate, "weight_decay": weight_decay}


def _copy_tensors(source: nn.Module, target: nn.Module, skipped: set[str]) -> None:
    """Copy the parameters and buffers of one module, its children's not."""
    tensors: Mapping[str, Tensor | None] = {**source._parameters, **source._buffers}
    for name, tensor in tensors.items():
        own = target._parameters.get(name, target._buffers.get(name))
        if tensor is not None and own is not None and name not in skipped:
            own.copy_(tensor)
