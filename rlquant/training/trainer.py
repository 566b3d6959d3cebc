"""The trainer of one configuration."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.data import Data
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.forward_pass import run
from rlquant.layers import LayerFacts, modules_of
from rlquant.network.calibrate import FloatReference, calibrate
from rlquant.network.hessians import output_hessian
from rlquant.network.input_ranges import Ranges, measure_input_ranges
from rlquant.network.quantize import quantizes_activations
from rlquant.network.weights import quantize_weight
from rlquant.objective import Distillation, MakesTargets, Objective
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.formats import form_of
from rlquant.quantizers.weight_format import WeightForm
from rlquant.rounding.layer_hessians import LayerHessians
from rlquant.samples import Samples
from rlquant.training.batches import Teacher, make_batches
from rlquant.training.loop import Run, train_mixed
from rlquant.training.losses import TrainingLoss
from rlquant.training.memory_layout import training_layout
from rlquant.training.mixed_network import MixedNetwork, WeightMaker, trainable_weight
from rlquant.training.settings import TrainOutcome, TrainSettings
from rlquant.training.training_data import as_many
from rlquant.training.warm_start import WarmStarts
from rlquant.training.watching import Watcher
from rlquant.weight_sites import site_of


class Trainer:
    """Trains configurations of one network; each result depends on the configuration alone.

    Args:
        network: float network; left as it is.
        layers: the layers that configurations name.
        training: samples on the device, a pair of tensors, or a loader.
        calibration: samples for statistics, ranges and warm starts, run as one batch.
        objective: scores outputs by the labels.
        settings: how to train.
        teacher: float network that distilled layers learn from; the network itself by default.
        seed: of quantizers' draws, of the order of samples, of dropout.
        evaluation: how the ranges of the layers' inputs are taken.
        warm_start: begin at layers that were adapted on their own.
        make_weight: makes what trains a layer's weight; the library's own methods by default.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: tuple[LayerFacts, ...],
        training: Data | Samples,
        calibration: Samples,
        objective: Objective,
        settings: TrainSettings,
        *,
        teacher: nn.Module | None = None,
        seed: int = 0,
        evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - a frozen value
        warm_start: bool = False,
        make_weight: WeightMaker = trainable_weight,
    ) -> None:
        self.network, self.layers, self.settings = network, layers, settings
        self._training, self._calibration, self._objective = training, calibration, objective
        self._teacher_network = teacher or network
        self._seed, self._make_weight = seed, make_weight
        self._range_method = evaluation.activation_range
        self._axes = {facts.name: facts.channel_axis for facts in layers}
        self._device = calibration.device
        self._layout = training_layout(network, calibration.first(2).inputs)
        reference = FloatReference.measure(network, layers, calibration, evaluation.calibrate)
        self._reference = reference.for_training
        self._starts = self._warm_starts() if warm_start else _cold

    def train(
        self, config: QuantizationConfig, watch: Watcher | None = None
    ) -> tuple[nn.Module, TrainOutcome]:
        """Train a canonical configuration; the network comes back projected and in eval mode."""
        return self.complete(self.begin(config), watch)

    def complete(self, run: Run, watch: Watcher | None = None) -> tuple[nn.Module, TrainOutcome]:
        """Take all steps of a run that `begin` returned, or of one that was made of its parts."""
        training, settings = self._training, self.settings
        batches = make_batches(
            training, settings, self._seed, self._device, self._check, self._layout
        )
        outcome = train_mixed(run, batches, seed=self._seed, watch=watch)
        trained = run.mixed.finish()
        calibrate(trained, self._reference, self._calibration)
        return trained, outcome

    def begin(self, config: QuantizationConfig) -> Run:
        """Return the run of a canonical configuration before its first step."""
        mixed = MixedNetwork(
            self.network,
            config,
            form=self._form,
            frozen=self._frozen,
            settings=self.settings,
            ranges=self._ranges if quantizes_activations(config) else {},
            start=self._starts,
            make_weight=self._make_weight,
            layout=self._layout,
        )
        follows = isinstance(self._objective, Distillation) or any(
            choice.method == "distilled" for choice in config
        )
        return Run.of(mixed, self._loss, self.settings, self._teacher if follows else None)

    def _check(self, batch: Samples) -> None:
        """Raise `DataError` where targets of a loader do not belong to the network's outputs."""
        if not isinstance(self._objective, MakesTargets):
            self._objective.check(as_many(self._example, len(batch)), batch.targets)

    @cached_property
    def _example(self) -> Any:
        with torch.no_grad():
            return run(copy_network(self.network), self._calibration.first(2).inputs)

    @cached_property
    def _loss(self) -> TrainingLoss:
        settings = self.settings
        return TrainingLoss(self._objective, settings.temperature, settings.distillation_weight)

    @cached_property
    def _teacher(self) -> Teacher:
        known = len(self._training) if isinstance(self._training, Samples) else 0
        return Teacher(self._teacher_network, known)

    @cached_property
    def _ranges(self) -> Ranges:
        return measure_input_ranges(
            self.network, self.layers, self._calibration, self._range_method
        )

    def _form(self, choice: LayerChoice) -> WeightForm:
        weight, axis = self._weight(choice.layer), self._axes[choice.layer]
        return form_of(weight, choice, axis, self._seed)

    def _frozen(self, choice: LayerChoice) -> QuantizedTensor:
        return quantize_weight(
            self._weight(choice.layer),
            choice,
            channel_axis=self._axes[choice.layer],
            seed=self._seed,
            moments=lambda: self._moments,
        )

    def _weight(self, layer: str) -> Tensor:
        return site_of(self.network, layer).weight_in(self.network).detach()

    def _warm_starts(self) -> WarmStarts:
        weights = {facts.name: self._weight(facts.name) for facts in self.layers}
        return WarmStarts(
            weights,
            self._form,
            lambda: self._moments,
            self.settings,
            self._make_weight,
        )

    @cached_property
    def _moments(self) -> LayerHessians:
        return output_hessian(self.network, modules_of(self.layers), self._calibration)


def _cold(choice: LayerChoice) -> Any:
    """Return None: training begins at the float weights."""
