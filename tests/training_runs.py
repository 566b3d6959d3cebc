"""Small training runs: mixed configurations, a trainer, and what tells networks apart."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import rlquant
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.layers import find_layers
from rlquant.network.modules import quantized_weight
from rlquant.objective import Classification
from rlquant.samples import Samples, fingerprint_tensors
from rlquant.training.mixed_network import MixedNetwork
from rlquant.training.settings import TrainOutcome, TrainSettings
from rlquant.training.trainer import Trainer
from small_networks import NETWORKS, fresh, samples_of, trained

SHORT = TrainSettings(steps=20, batch_size=16)
LONG = replace(SHORT, steps=60, learning_rate=0.05, scale_rate=0.05, bias_rate=0.02)

CHOICES: Mapping[str, tuple[LayerChoice, ...]] = {
    "mlp": (
        LayerChoice("first", 2, method="ternary"),
        LayerChoice("second", 3, method="distilled", points="learned"),
        LayerChoice("last", 4, "stochastic", method="distilled", points="affine"),
    ),
    "conv": (
        LayerChoice("stem", 8, points="clipped"),
        LayerChoice("conv", 3, method="distilled", points="learned"),
        LayerChoice("shortcut", 2, method="ternary", activation_bits=8),
        LayerChoice("grouped", 4, "stochastic", method="distilled", activation_bits=8),
        LayerChoice("classifier", 2, points="learned"),
    ),
}
"""Every method, and every way of training, in one network."""


def mixed(name: str) -> QuantizationConfig:
    """The mixed configuration of the network of that name."""
    return QuantizationConfig(CHOICES[name])


def each(name: str, bits: int = 3, **fields: Any) -> QuantizationConfig:
    """The same choice for every layer of the network of that name."""
    layers = [choice.layer for choice in CHOICES[name]]
    return QuantizationConfig(tuple(LayerChoice(layer, bits, **fields) for layer in layers))


def taken(name: str, count: int = 48, seed: int = 1) -> Samples:
    """Samples for the network of that name."""
    inputs, targets = samples_of(name, count, seed=seed)
    return Samples((inputs,), targets)


@cache
def float_network(name: str) -> nn.Module:
    """The trained float network of that name, shared: nothing may write to it."""
    network = trained(name)
    network.zero_grad()
    return network


def trainer(name: str = "mlp", settings: TrainSettings = SHORT, **other: Any) -> Trainer:
    """A trainer of a small trained network."""
    network = other.pop("network", None) or float_network(name)
    samples = taken(name)
    layers = find_layers(network, samples.first(2).inputs)
    objective = other.pop("objective", Classification())
    return Trainer(network, layers, samples, samples, objective, settings, **other)


def mixed_network(name: str = "mlp", settings: TrainSettings = SHORT, **other: Any) -> MixedNetwork:
    """The mixed network of that name before its first step."""
    config = other.pop("config", None) or mixed(name)
    return trainer(name, settings, **other).begin(config.canonical("trained")).mixed


def train(
    name: str, config: QuantizationConfig | None = None, **other: Any
) -> tuple[nn.Module, TrainOutcome]:
    """Train the network of that name, by default a short run of the mixed configuration."""
    arguments = {"train_data": samples_of(name, 64, seed=1), "settings": SHORT, **other}
    network = arguments.pop("network", None) or float_network(name)
    return rlquant.train(network, mixed(name) if config is None else config, **arguments)


def train_from_scratch(name: str) -> nn.Module:
    """Train a network without floats of earlier trainings, for processes to compare."""
    return train(name, network=fresh(NETWORKS[name].build), seed=2)[0]


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def hash_of(network: nn.Module) -> str:
    """A hash of all parameters and buffers."""
    state = network.state_dict()
    return fingerprint_tensors(state[name] for name in sorted(state))


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks hold the same numbers, bit for bit."""
    return hash_of(a) == hash_of(b)


def group_values(network: nn.Module, layer: str) -> int:
    """The most values that the weights of an output channel take."""
    weight = network.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return max(len(row.unique()) for row in weight.detach().flatten(1))


def codes_of(network: nn.Module, layer: str) -> Tensor:
    """The codes of a quantized layer."""
    found = quantized_weight(network.get_submodule(layer))
    assert found is not None
    return copy.deepcopy(found.tensor.codes)


def outputs_of(network: nn.Module, name: str, count: int = 20) -> Tensor:
    """What a network gives for some samples that it was not trained on."""
    with torch.no_grad():
        outputs: Tensor = network(*taken(name, count, seed=7).inputs)
    return outputs
