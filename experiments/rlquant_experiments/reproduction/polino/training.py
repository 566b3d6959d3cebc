"""The training loop of teachers, float students and quantized ones."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from rlquant.config import QuantizationConfig
from rlquant.network.quantize import layers_of
from rlquant.objective import Classification
from rlquant.samples import Samples
from rlquant.training.batches import Teacher
from rlquant.training.loop import Run
from rlquant.training.losses import TrainingLoss
from rlquant.training.points import LearnedPoints
from rlquant.training.settings import TrainSettings
from rlquant.training.trainer import Trainer
from rlquant_experiments.reproduction.runs import Progress
from rlquant_experiments.reproduction.watching import telling

BUCKET = 256
"""Weights that share a scale, as in all experiments of the paper."""
CALIBRATION_IMAGES = 1000
"""Training images by which BatchNorm's statistics are taken at the end of every training."""


def train_network(
    start: nn.Module,
    config: QuantizationConfig,
    samples: Samples,
    settings: TrainSettings,
    *,
    teacher: nn.Module | None,
    seed: int,
    points: Mapping[str, Tensor] | None = None,
    progress: Progress = lambda steps: None,
) -> nn.Module:
    """Train a copy of a network, quantized as `config` says, and return it in eval mode.

    Unlike `rlquant.train`, a network with no quantized layer and one of which only the points
    are learned may follow a teacher too.

    Args:
        start: where training begins: fresh weights, or a trained network.
        config: canonical, of every layer; empty for a float network.
        samples: training images.
        settings: see there.
        teacher: whose answers are followed; None for the labels alone.
        seed: of the order of images and of dropout.
        points: by layer, where learned points start, of any number; by default at quantiles.
        progress: told of the steps taken.
    """
    calibration = samples.first(CALIBRATION_IMAGES)
    layers = layers_of(start, config, calibration.first(2).inputs) if len(config) else ()
    trainer = Trainer(
        start,
        layers,
        samples,
        calibration,
        Classification(),
        settings,
        seed=seed,
    )
    mixed = trainer.begin(config).mixed
    for name, values in (points or {}).items():
        learned = mixed.weights[name]
        assert isinstance(learned, LearnedPoints)
        learned.points = nn.Parameter(values.clone())
    loss = TrainingLoss(Classification(), settings.temperature, settings.distillation_weight)
    answers = None if teacher is None else Teacher(teacher, len(samples))
    trained, _ = trainer.complete(Run.of(mixed, loss, settings, answers), telling(progress))
    return trained
