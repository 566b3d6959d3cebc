"""The networks of Gupta's experiments; each depends on its seed alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import prod

import torch
from torch import nn

from rlquant.ambient import seeded
from rlquant.tasks.task import InputShape
from rlquant_experiments.reproduction.networks.registration import build_registered

NetworkBuilder = Callable[[InputShape, int, int], nn.Module]
"""Input shape, classes and seed in, a network with fresh weights out."""


def task_network(name: str) -> NetworkBuilder:
    """Return what builds a network of the tasks."""
    return lambda shape, classes, seed: build_registered(name, shape, classes, seed=seed)


def mlp(*hidden: int) -> NetworkBuilder:
    """Return what builds Linear layers of these widths, with ReLU, and a classifier."""

    def network(shape: InputShape, classes: int) -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        width = prod(shape)
        for number, units in enumerate(hidden, start=1):
            layers[f"hidden{number}"] = nn.Linear(width, units)
            layers[f"relu{number}"] = nn.ReLU()
            width = units
        layers["classifier"] = nn.Linear(width, classes)
        return nn.Sequential(layers)

    return lambda shape, classes, seed: _seeded(lambda: network(shape, classes), seed)


def cnn(*channels: int, kernel: int, hidden: int) -> NetworkBuilder:
    """Return what builds unpadded convolutions, each with 2x2 max-pooling, as LeNet-5 has them.

    Args:
        channels: of each convolution.
        kernel: height and width of the kernels.
        hidden: units of the Linear layer before the classifier.
    """

    def network(shape: InputShape, classes: int) -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        inputs, *size = shape
        for number, outputs in enumerate(channels, start=1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, kernel)
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"pool{number}"] = nn.MaxPool2d(2)
            inputs, size = outputs, [(pixels - kernel + 1) // 2 for pixels in size]
        layers["flatten"] = nn.Flatten()
        layers["hidden"] = nn.Linear(inputs * prod(size), hidden)
        layers["relu"] = nn.ReLU()
        layers["classifier"] = nn.Linear(hidden, classes)
        return nn.Sequential(layers)

    return lambda shape, classes, seed: _seeded(lambda: network(shape, classes), seed)


def gaussian(make: NetworkBuilder, deviation: float = 0.01) -> NetworkBuilder:
    """Draw all first weights from one Gaussian, and set biases to 0, as the paper does."""

    def network(shape: InputShape, classes: int, seed: int) -> nn.Module:
        made = make(shape, classes, seed)
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if name.endswith("weight"):
                    parameter.normal_(std=deviation, generator=draws)
                else:
                    parameter.zero_()
        return made

    return network


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with seeded(seed):
        return make()
