"""The scales at which the experiments on trained ternary quantization are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from rlquant.ambient import seeded
from rlquant.errors import SettingsError
from rlquant.tasks.float_training import FloatTrainSettings
from rlquant.tasks.networks import resnet
from rlquant.tasks.task import InputShape
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.reproduction import Preset
from rlquant_experiments.reproduction.ttq.variants import FLOAT, SCALES

FIRST_LAYER = "conv"
"""The layer that stays float, as in the paper's released code for CIFAR."""


@dataclass(frozen=True, kw_only=True)
class TtqPreset:
    """Data, networks, and how they are trained.

    Attributes:
        data: name of the data set.
        images: training images, the first ones.
        validation_images: images that rates are chosen by, the first ones.
        shrink: images are averaged over squares of so many pixels a side.
        widths: channels of the stages of the residual networks.
        blocks: blocks a stage, ascending: the depths. T3 and T4 run at the smallest.
        start: how the float networks are trained that everything begins at; its seed is not used.
        tuning: how all variants go on from there; its rates are not used.
        rates: learning rates to choose from.
        chosen: the rate of each variant, by name; validation data decided.
        seeds: runs of each variant where the person asks for no number.
        packed: networks of the tasks that are packed for T5 without training.
    """

    data: str
    images: int
    validation_images: int
    shrink: int = 1
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    start: FloatTrainSettings
    tuning: TrainSettings
    rates: tuple[float, ...]
    chosen: Mapping[str, float]
    seeds: int = 3
    packed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.blocks) < 2 or list(self.blocks) != sorted(set(self.blocks)):
            raise SettingsError(f"blocks={self.blocks!r}, use two ascending numbers or more")
        if set(self.chosen) != set(SCALES) or not set(self.chosen.values()) <= set(self.rates):
            raise SettingsError(
                f"chosen={self.chosen!r}, give each of {tuple(SCALES)} one of the rates "
                f"{self.rates}"
            )

    def depth(self, blocks: int) -> int:
        """Return the layers of a network, shortcuts not counted."""
        return 2 * len(self.widths) * blocks + 2

    def experiment(self, blocks: int) -> str:
        """Return the name of a network, and of the runs on it."""
        return f"resnet{self.depth(blocks)}"

    @property
    def smallest(self) -> str:
        """The network at which everything runs."""
        return self.experiment(self.blocks[0])

    def build(self, blocks: int, shape: InputShape, classes: int, seed: int) -> nn.Module:
        """Return a network with fresh weights; they depend on the seed alone."""
        with seeded(seed):
            return resnet(shape, classes, widths=self.widths, blocks=blocks)


QUICK = TtqPreset(
    data="fashion-mnist",
    images=10_000,
    validation_images=10_000,
    shrink=2,
    widths=(8, 16, 32),
    blocks=(1, 2, 3),
    start=FloatTrainSettings(epochs=8, learning_rate=0.2),
    tuning=TrainSettings(epochs=5, optimizer="adam", schedule="cosine", train_kept=True),
    rates=(0.01, 0.03, 0.1),
    chosen={**dict.fromkeys(SCALES, 0.03), FLOAT: 0.1},
    seeds=6,
    packed=("resnet20", "resnet56"),
)

PAPER = TtqPreset(
    data="cifar10",
    images=45_000,
    validation_images=5_000,
    widths=(16, 32, 64),
    blocks=(3, 5, 7, 9),
    start=FloatTrainSettings(
        epochs=200, learning_rate=0.1, weight_decay=2e-4, augmentation=CropAndFlip()
    ),
    tuning=TrainSettings(
        epochs=400,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=2e-4,
        schedule="steps",
        milestones=(82 / 400, 123 / 400, 300 / 400),
        train_kept=True,
        augmentation=CropAndFlip(),
    ),
    rates=(0.1,),
    chosen=dict.fromkeys(SCALES, 0.1),
)

TINY = TtqPreset(
    data="digits",
    images=256,
    validation_images=100,
    widths=(4, 8),
    blocks=(1, 2),
    start=FloatTrainSettings(epochs=2, batch_size=64),
    tuning=TrainSettings(epochs=1, batch_size=64, train_kept=True),
    rates=(0.01, 0.03),
    chosen=dict.fromkeys(SCALES, 0.01),
    seeds=2,
    packed=("resnet8",),
)

PRESETS: Mapping[Preset, TtqPreset] = {"quick": QUICK, "paper": PAPER, "tiny": TINY}
