"""The scales at which Gupta's experiments are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlquant.training.settings import Schedule
from rlquant_experiments.reproduction.gupta.networks import (
    NetworkBuilder,
    cnn,
    gaussian,
    mlp,
    task_network,
)
from rlquant_experiments.reproduction.reproduction import Preset


@dataclass(frozen=True, kw_only=True)
class Part:
    """One experiment: data, network and how it is trained.

    Attributes:
        data: name of the data set.
        images: training images, the first ones.
        network: in words; with `build`, as runs are found again by these words.
        build: makes it.
        epochs: passes over the training images.
        batch_size: images a step.
        rates: learning rates, ascending; the float control runs at each of them.
        seeds: runs of each variant where the person asks for no number.
        momentum: 0 for plain SGD.
        weight_decay: of weights.
        schedule: of the rate.
        milestones: of the schedule "steps".
    """

    data: str
    images: int
    network: str
    build: NetworkBuilder
    epochs: int
    batch_size: int = 100
    rates: tuple[float, ...]
    seeds: int = 3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    milestones: tuple[float, ...] = ()

    @property
    def middle_rate(self) -> float:
        """The rate at which everything runs where not all do at every rate."""
        return self.rates[len(self.rates) // 2]


@dataclass(frozen=True, kw_only=True)
class GuptaPreset:
    """The experiments: fully connected, convolutional, and products without an accumulator.

    Attributes:
        mlp: for G1 to G3.
        cnns: for G4 and G5, by the name of the experiment.
        products: for G6.
    """

    mlp: Part
    cnns: Mapping[str, Part]
    products: Part


PRODUCTS = Part(
    data="digits",
    images=1000,
    network="MLP 64-32-10",
    build=mlp(32),
    epochs=20,
    batch_size=50,
    rates=(0.2,),
    seeds=5,
)

QUICK = GuptaPreset(
    mlp=Part(
        data="fashion-mnist",
        images=10_000,
        network="MLP 784-256-256-10, first weights Gaussian (0.01), biases 0",
        build=gaussian(mlp(256, 256)),
        epochs=10,
        rates=(0.1, 0.2, 0.4),
        seeds=5,
    ),
    cnns={
        "cnn": Part(
            data="fashion-mnist",
            images=10_000,
            network="CNN, 5x5 convolutions of 8 and 16 channels with 2x2 pooling, 128-10",
            build=cnn(8, 16, kernel=5, hidden=128),
            epochs=8,
            rates=(0.02, 0.05, 0.1),
            seeds=5,
            momentum=0.9,
            weight_decay=5e-4,
        )
    },
    products=PRODUCTS,
)

PAPER = GuptaPreset(
    mlp=Part(
        data="mnist",
        images=50_000,
        network="MLP 784-1000-1000-10, first weights Gaussian (0.01), biases 0",
        build=gaussian(task_network("gupta-mlp")),
        epochs=30,
        rates=(0.1, 0.2, 0.4),
    ),
    cnns={
        "cnn mnist": Part(
            data="mnist",
            images=50_000,
            network="gupta-cnn-mnist of the tasks",
            build=task_network("gupta-cnn-mnist"),
            epochs=50,
            rates=(0.02, 0.05, 0.1),
            momentum=0.9,
            weight_decay=5e-4,
            schedule="steps",
            milestones=(0.8,),
        ),
        "cnn cifar10": Part(
            data="cifar10",
            images=45_000,
            network="gupta-cnn-cifar of the tasks",
            build=task_network("gupta-cnn-cifar"),
            epochs=120,
            rates=(0.005, 0.01, 0.02),
            momentum=0.9,
            weight_decay=5e-4,
            schedule="steps",
            milestones=(0.8,),
        ),
    },
    products=PRODUCTS,
)

TINY = GuptaPreset(
    mlp=Part(
        data="digits",
        images=300,
        network="MLP 64-16-10",
        build=mlp(16),
        epochs=2,
        batch_size=50,
        rates=(0.1, 0.2),
        seeds=2,
    ),
    cnns={
        "cnn": Part(
            data="digits",
            images=200,
            network="CNN, a 3x3 convolution of 4 channels with 2x2 pooling, 16-10",
            build=cnn(4, kernel=3, hidden=16),
            epochs=2,
            batch_size=50,
            rates=(0.05,),
            seeds=2,
            momentum=0.9,
        )
    },
    products=Part(
        data="digits",
        images=100,
        network="MLP 64-8-10",
        build=mlp(8),
        epochs=1,
        batch_size=25,
        rates=(0.2,),
        seeds=2,
    ),
)

PRESETS: Mapping[Preset, GuptaPreset] = {"quick": QUICK, "paper": PAPER, "tiny": TINY}
