"""The networks of Polino's experiments; each depends on its seed alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch import nn

from rlquant.ambient import seeded
from rlquant.errors import SettingsError
from rlquant.tasks.task import InputShape
from rlquant.weight_sites import layer_kind
from rlquant_experiments.reproduction.networks.registration import build_registered


@dataclass(frozen=True, slots=True)
class Network:
    """A network to be trained.

    Attributes:
        words: what it is; runs and trained networks are found again by these words.
        build: input shape, classes and seed in, the network with fresh weights out.
    """

    words: str
    build: Callable[[InputShape, int, int], nn.Module]


def task_network(name: str) -> Network:
    """Return a network of the tasks."""
    return Network(
        f"{name} of the tasks",
        lambda shape, classes, seed: build_registered(name, shape, classes, seed=seed),
    )


def strided_cnn(
    channels: tuple[int, ...], strides: tuple[int, ...], hidden: int, *, dropout: float = 0.0
) -> Network:
    """Return 3x3 convolutions, a Linear layer and a classifier, as the paper's CNNs are built.

    A BatchNorm follows each layer but the last. Strides take the place of pooling, so that a step
    takes milliseconds.

    Args:
        channels: of each convolution.
        strides: of each convolution.
        hidden: units of the Linear layer.
        dropout: share of its units dropped in training.
    """
    if len(channels) != len(strides):
        raise SettingsError(f"channels={channels} and strides={strides} differ in length")

    def make(shape: InputShape, classes: int) -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        inputs, *size = shape
        for number, (outputs, stride) in enumerate(zip(channels, strides, strict=True), start=1):
            conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
            layers |= {f"conv{number}": conv, f"norm{number}": nn.BatchNorm2d(outputs)}
            layers[f"relu{number}"] = nn.ReLU()
            inputs, size = outputs, [-(-pixels // stride) for pixels in size]
        layers["flatten"] = nn.Flatten()
        layers["hidden"] = nn.Linear(inputs * prod(size), hidden, bias=False)
        layers["hidden_norm"] = nn.BatchNorm1d(hidden)
        layers["hidden_relu"] = nn.ReLU()
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        layers["classifier"] = nn.Linear(hidden, classes)
        return nn.Sequential(layers)

    words = (
        f"3x3 convolutions of {'-'.join(map(str, channels))} channels with strides "
        f"{'-'.join(map(str, strides))}, {hidden} units"
        f"{f' with dropout {dropout:g}' if dropout else ''}, classifier"
    )
    return Network(words, lambda shape, classes, seed: _seeded(lambda: make(shape, classes), seed))


def quantized_layers(network: nn.Module) -> tuple[str, ...]:
    """Return the names of all layers with weights: every one of them is quantized."""
    return tuple(name for name, module in network.named_modules() if layer_kind(module))


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with seeded(seed):
        return make()
