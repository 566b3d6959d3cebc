"""What public calls are given: toy networks, data, configurations, problems; made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn

import rlquant
from evaluation_values import in_values
from gguf_models import tiny_network
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.testing import random_table
from rlquant.training.settings import TrainSettings
from small_networks import Pair, samples_of, trained
from small_transformers import transformer

BUDGET = Budget.average_bits(7.0)
QUICK = TrainSettings(steps=4, batch_size=16)
CONFIG = QuantizationConfig(
    (
        LayerChoice("first", 4, "stochastic", points="clipped", activation_bits=8),
        LayerChoice("second", 3, points="kmeans"),
        LayerChoice("last", 2, points="quantile"),
    )
)
HESSIAN_BASED = QuantizationConfig(
    (
        LayerChoice("first", 2, "gptq", points="clipped"),
        LayerChoice("second", 2, "learned", points="clipped"),
        LayerChoice("last", 8),
    )
)
TRAINED = QuantizationConfig(
    (
        LayerChoice("first", 2, method="ternary"),
        LayerChoice("second", 3, method="distilled", points="learned"),
        LayerChoice("last", 4, method="distilled", activation_bits=8),
    )
)


@dataclass(frozen=True)
class Toys:
    """A network of three Linear layers and one of convolutions with BatchNorm, and their data."""

    network: nn.Module
    train: Pair
    validation: Pair
    images: nn.Module
    train_images: Pair
    validation_images: Pair
    quantized: nn.Module
    packed: bytes
    table: rlquant.Table
    problem: rlquant.QuantizationProblem
    hessian_based: rlquant.QuantizationProblem
    transformer: nn.Module


@cache
def prepare() -> Toys:
    """Make everything that the calls are given: outside of whatever is crossed with them."""
    network, images = trained("mlp"), trained("conv")
    decoder()
    packed_decoder()
    train, validation = samples_of("mlp", 64, seed=1), samples_of("mlp", 50, seed=2)
    quantized = rlquant.quantize(network, CONFIG, train, calibration_samples=64)
    return Toys(
        network,
        train,
        validation,
        images,
        samples_of("conv", 64, seed=1),
        samples_of("conv", 40, seed=2),
        quantized,
        rlquant.pack(quantized),
        random_table(3, 4),
        made_problem(network, train, validation),
        made_problem(network, train, validation, rounding=("gptq", "learned")),
        transformer(),
    )


def made_problem(
    network: nn.Module, train: Pair, validation: Pair, *, rounding: Any = ("nearest",), **other: Any
) -> rlquant.QuantizationProblem:
    space = rlquant.SearchSpace(bits=(2, 4, 8), rounding=rounding, points=("clipped",))
    settings: dict[str, Any] = {
        "budget": BUDGET,
        "space": space,
        "calibration_samples": 64,
        "batch_size": 20,
    }
    return rlquant.QuantizationProblem(
        network, train, validation, **in_values({**settings, **other})
    )


def fresh_problem(**other: Any) -> rlquant.QuantizationProblem:
    """Make a problem that knows no measurement yet."""
    toys = prepare()
    return made_problem(toys.network, toys.train, toys.validation, **other)


def images_problem(**other: Any) -> rlquant.QuantizationProblem:
    """Make a problem of the network of convolutions."""
    toys = prepare()
    return made_problem(toys.images, toys.train_images, toys.validation_images, **other)


@cache
def decoder() -> nn.Module:
    """Make a quantized language model, outside of whatever is crossed with it."""
    choices = (LayerChoice("lm_head", 4, points="affine_step", group_size=32),)
    return rlquant.quantize(tiny_network(), QuantizationConfig(choices))


@cache
def packed_decoder() -> nn.Module:
    """Make a decoder with one layer that compressed-tensors holds."""
    choices = (LayerChoice("lm_head", 4, points="zero_point", group_size=32),)
    return rlquant.quantize(tiny_network(), QuantizationConfig(choices))


def unpacked() -> nn.Module:
    """Return the network of the packed file."""
    return rlquant.unpack(prepare().packed, prepare().network)


def outputs_of(network: nn.Module, pair: Pair) -> tuple[nn.Module, Any]:
    """Return a network with what it answers: in an evaluation's state, as `measure` says it."""
    return network, rlquant.measure(network, pair)
