"""The networks of one seed: teachers and float students, which are kept, and quantized ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.config import GroupSize, LayerChoice, Points, QuantizationConfig
from rlquant.network.quantize import quantize
from rlquant.quantizers import quantile_points
from rlquant.samples import Samples
from rlquant.tasks.network_cache import cache_folder, restore, store
from rlquant.tasks.task import Splits
from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.data import splits_of
from rlquant_experiments.reproduction.polino.networks import Network, quantized_layers
from rlquant_experiments.reproduction.polino.presets import PolinoPreset
from rlquant_experiments.reproduction.polino.redistribution import gradient_norms, redistribute
from rlquant_experiments.reproduction.polino.training import (
    BUCKET,
    CALIBRATION_IMAGES,
    train_network,
)
from rlquant_experiments.reproduction.polino.variants import ABLATION_BITS, Heuristics
from rlquant_experiments.reproduction.runs import Progress

CODE = 2
"""Raised when the code measures other numbers than before: everything is then done again."""
DECIDING = (
    *("epochs", "steps", "batch_size", "optimizer", "momentum", "learning_rate", "point_rate"),
    *("bias_rate", "weight_decay", "schedule", "temperature", "distillation_weight"),
)
"""The training settings that decide a run; others may come and go without undoing it."""


def described(settings: TrainSettings) -> Mapping[str, Any]:
    """Return what decides a training, as JSON takes it."""
    return {field: getattr(settings, field) for field in DECIDING}


@dataclass(frozen=True)
class Lab:
    """Everything that is trained with one seed.

    Attributes:
        preset: networks and trainings.
        seed: of first weights, order of images, dropout.
        device: where.
    """

    preset: PolinoPreset
    seed: int
    device: str

    @property
    def splits(self) -> Splits:
        """The data, of which `samples` are trained on."""
        return splits_of(self.preset.data, self.device)

    @property
    def samples(self) -> Samples:
        """The training images."""
        inputs, targets = (tensor[: self.preset.images] for tensor in self.splits.train)
        return Samples((inputs,), targets)

    def fresh(self, network: Network) -> nn.Module:
        """Return a network before training."""
        splits = self.splits
        return network.build(splits.input_shape, splits.classes, self.seed).to(self.device)

    # --- float

    def teacher(self, progress: Progress = lambda steps: None) -> nn.Module:
        """Return the teacher, trained where it is not kept yet."""
        settings = self.preset.labels_training
        return self._kept("teacher", self.preset.teacher, settings, None, progress)

    def student(
        self, *, distilled: bool = True, progress: Progress = lambda steps: None
    ) -> nn.Module:
        """Return the float student, trained where it is not kept yet."""
        preset = self.preset
        if not distilled:
            return self._kept("labels", preset.student, preset.labels_training, None, progress)
        return self._kept("student", preset.student, preset.training, self.teacher(), progress)

    def _kept(
        self,
        role: str,
        network: Network,
        settings: TrainSettings,
        teacher: nn.Module | None,
        progress: Progress,
    ) -> nn.Module:
        """Return a trained float network from the cache folder of the tasks, or train it."""
        preset = self.preset
        document = [
            *(CODE, role, network.words, preset.data, preset.images, self.seed),
            *(described(settings), preset.teacher.words, described(preset.labels_training)),
        ]
        text = json.dumps(document, sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        path = cache_folder() / "networks" / f"{preset.data}-polino-{role}-{key}.safetensors"
        start = self.fresh(network)
        if restore(start, path, key):
            return start.eval().requires_grad_(False)
        trained = train_network(
            start,
            QuantizationConfig(()),
            self.samples,
            settings,
            teacher=teacher,
            seed=self.seed,
            progress=progress,
        )
        store(trained, path, key)
        return trained

    # --- quantized

    def post_mortem(
        self, bits: int, bucket: GroupSize, points: Points = "linear", *, renewed: bool
    ) -> nn.Module:
        """Return the distilled student, quantized without training.

        Args:
            bits: of every layer.
            bucket: weights that share a scale.
            points: equally spaced ("linear") in the paper.
            renewed: take BatchNorm's statistics again, which the paper does not.
        """
        student, samples = self.student(), self.samples
        calibration = (samples.positional[0], samples.targets) if renewed else None
        return quantize(
            student,
            everywhere(student, LayerChoice("", bits, points=points, group_size=bucket)),
            calibration,
            calibration_samples=min(CALIBRATION_IMAGES, len(samples)),
        )

    def distilled(
        self, network: Network, bits: int, settings: TrainSettings, progress: Progress
    ) -> nn.Module:
        """Return a student trained from fresh weights while it is quantized.

        A weight of 0 on the teacher's part leaves the labels alone.
        """
        start = self.fresh(network)
        choice = LayerChoice("", bits, method="distilled", points="linear", group_size=BUCKET)
        follows = settings.distillation_weight > 0
        return train_network(
            start,
            everywhere(start, choice),
            self.samples,
            settings,
            teacher=self.teacher() if follows else None,
            seed=self.seed,
            progress=progress,
        )

    def learned(
        self, bits: int, settings: TrainSettings, progress: Progress, *, spaced: bool = False
    ) -> nn.Module:
        """Return the distilled student with learned points; it is its own teacher.

        Points start at quantiles, or `spaced` equally.
        """
        student = self.student()
        equally = torch.linspace(0, 1, 2**bits, device=self.device)
        starts = dict.fromkeys(quantized_layers(student), equally) if spaced else None
        return train_network(
            student,
            everywhere(student, LayerChoice("", bits, points="learned", group_size=BUCKET)),
            self.samples,
            settings,
            teacher=student,
            seed=self.seed,
            points=starts,
            progress=progress,
        )

    def ablated(self, heuristics: Heuristics, progress: Progress) -> nn.Module:
        """Return the distilled student with points learned for a while, with some heuristics."""
        student, settings = self.student(), self.preset.points_training
        layers = quantized_layers(student)
        counts = (2**ABLATION_BITS,) * len(layers)
        if heuristics.redistribution:
            norms = gradient_norms(student, layers, self.samples, settings.batch_size)
            counts = redistribute(counts, [norms[layer] for layer in layers])
        points: dict[str, Tensor] = {}
        choices = []
        for layer, count in zip(layers, counts, strict=True):
            weight = student.get_parameter(f"{layer}.weight")
            spaced = torch.linspace(0, 1, count, device=weight.device)
            quantiles = quantile_points(weight, count, group_size=BUCKET)
            points[layer] = quantiles if heuristics.quantiles else spaced
            bits = (count - 1).bit_length()
            choices.append(LayerChoice(layer, bits, points="learned", group_size=BUCKET))
        return train_network(
            student,
            QuantizationConfig(tuple(choices)),
            self.samples,
            replace(settings, steps=self.preset.ablation_steps),
            teacher=student if heuristics.distillation else None,
            seed=self.seed,
            points=points,
            progress=progress,
        )


def everywhere(network: nn.Module, choice: LayerChoice) -> QuantizationConfig:
    """Return one choice for every layer with weights."""
    return QuantizationConfig.uniform(choice, quantized_layers(network))
