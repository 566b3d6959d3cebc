"""Small networks to train on, drawn from a seed: none is one of the tasks' networks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from torch import nn

from rlquant import SearchSpace
from rlquant.ambient import seeded
from rlquant.config import Method, Points
from rlquant.errors import LARGEST_SEED, whole_number
from rlquant.tasks.float_training import FloatTrainSettings
from rlquant.tasks.networks import resnet
from rlquant.tasks.task import InputShape

MOST_CONFIGURATIONS = 4096
WIDTHS = ((1, 2, 3, 4, 5, 6, 8), (2, 3, 4, 5, 6, 8), (1, 2, 3, 4, 6), (2, 3, 4, 6, 8), (2, 3, 4, 5))
"""Bit-widths that a training space offers, one of these."""
EPOCHS = {"digits": (8, 40), "fashion-mnist": (1, 4)}
"""How long training networks are trained, at the least and at the most: some well, some hardly."""
RATE, GENTLE_RATE = 0.1, 0.03
"""Largest learning rates; the gentle one is for convolutions without BatchNorm."""
ON_FASHION = 60
"""Among so many networks every third is on Fashion-MNIST; those take minutes, on digits seconds."""
STAGES = ("conv", "stage1.*", "stage2.*", "stage3.*", "classifier")

# What numbers are drawn for beside the network itself, each from a stream of its own.
_SPACE, _TRAINING = 1, 2


@dataclass(frozen=True)
class TrainingNetwork:
    """A network to train on, and what is asked of it.

    Attributes:
        name: kind and seed, e.g. "cnn-7".
        data: name of the data set, a key of `EPOCHS`.
        kind: of network, a key of `KINDS`.
        seed: of shape, weights, space and training.
    """

    name: str
    data: str
    kind: str
    seed: int

    @property
    def title(self) -> str:
        """Data set and name, for files."""
        return f"{self.data}-{self.name}"

    def network(self, shape: InputShape, classes: int) -> nn.Module:
        """Build it with fresh weights; the global random state is left as it was."""
        with seeded(self.seed):
            return KINDS[self.kind](shape, classes, np.random.default_rng(self.seed))

    def training(self, network: nn.Module) -> FloatTrainSettings:
        """Return how the network is trained."""
        least, most = EPOCHS[self.data]
        modules = list(network.modules())
        convolutional = any(isinstance(module, nn.Conv2d) for module in modules)
        normalized = any(isinstance(module, nn.BatchNorm2d) for module in modules)
        return FloatTrainSettings(
            epochs=int(self._stream(_TRAINING).integers(least, most + 1)),
            learning_rate=GENTLE_RATE if convolutional and not normalized else RATE,
            seed=self.seed,
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """Patterns of layers that share a choice; empty where each has its own."""
        return STAGES if self.kind == "resnet" else ()

    def space(self, groups: int) -> SearchSpace:
        """Return what is offered: bits, and in three of four cases one thing more.

        Args:
            groups: that are decided; so many options are offered that a table stays small.
        """
        draws = self._stream(_SPACE)
        fitting = [bits for bits in WIDTHS if len(bits) ** groups <= MOST_CONFIGURATIONS]
        bits = fitting[int(draws.integers(len(fitting)))]
        method: tuple[Method, ...] = ("post_training",)
        points: tuple[Points, ...] = ("clipped",)
        activations: tuple[int | None, ...] = (None,)
        room = MOST_CONFIGURATIONS ** (1 / groups)
        draw = draws.random()
        if draw < 0.25 and 2 * len(bits) <= room:
            points = ("clipped", "kmeans")
        elif draw < 0.5 and 2 * len(bits) <= room:
            activations = (None, 4)
        elif draw < 0.75 and len(bits) + 1 <= room:
            method = ("post_training", "ternary")
        return SearchSpace(bits=bits, method=method, points=points, activation_bits=activations)

    def _stream(self, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, number))


def draw_networks(count: int, seed: int) -> tuple[TrainingNetwork, ...]:
    """Return so many training networks, on digits and, of the first ones, on Fashion-MNIST.

    Args:
        count: how many; more begin with the same ones.
        seed: of the first, the next one has the next seed.

    Raises:
        SettingsError: not even one network, or a seed below 0.
    """
    whole_number("draw_networks: count", count, 1)
    whole_number("draw_networks: seed", seed, 0, LARGEST_SEED - count)
    kinds = tuple(KINDS)
    found = []
    for i in range(count):
        kind = kinds[i % len(kinds)]
        fashion = i < ON_FASHION and i // len(kinds) % 3 == 2
        data = "fashion-mnist" if fashion else "digits"
        found.append(TrainingNetwork(f"{kind}-{seed + i}", data, kind, seed + i))
    return tuple(found)


def _mlp(shape: InputShape, classes: int, draws: np.random.Generator) -> nn.Module:
    """Build two or three hidden layers and a classifier."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = prod(shape)
    for i in range(int(draws.integers(2, 4))):
        wider = int(draws.choice((16, 24, 40, 56, 80)))
        layers[f"hidden{i}"] = nn.Linear(width, wider)
        layers[f"relu{i}"] = nn.ReLU()
        width = wider
    layers["classifier"] = nn.Linear(width, classes)
    return nn.Sequential(layers)


def _cnn(shape: InputShape, classes: int, draws: np.random.Generator) -> nn.Module:
    """Build two or three convolutions of 3x3 or 5x5, most with BatchNorms, and a classifier."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width, depth = shape[0], int(draws.integers(2, 4))
    normalized = bool(draws.random() < 0.7)
    for i in range(depth):
        wider, size = int(draws.choice((6, 8, 12, 20, 24, 40))), int(draws.choice((3, 5)))
        layers[f"conv{i}"] = nn.Conv2d(width, wider, size, padding=size // 2, bias=not normalized)
        if normalized:
            layers[f"norm{i}"] = nn.BatchNorm2d(wider)
        layers[f"relu{i}"] = nn.ReLU()
        if i < 2:
            layers[f"pool{i}"] = nn.MaxPool2d(2)
        width = wider
    side = 1 if draws.random() < 0.7 else 2
    layers["pool"] = nn.AdaptiveAvgPool2d(side)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(width * side**2, classes)
    return nn.Sequential(layers)


def _resnet(shape: InputShape, classes: int, draws: np.random.Generator) -> nn.Module:
    """Build three stages of one block each, of other widths than the tasks' ResNets."""
    width = int(draws.choice((4, 6, 10, 12)))
    return resnet(shape, classes, widths=(width, 2 * width, 4 * width), blocks=1)


KINDS: Mapping[str, Callable[[InputShape, int, np.random.Generator], nn.Module]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet": _resnet,
}
"""Kinds of networks by name."""
