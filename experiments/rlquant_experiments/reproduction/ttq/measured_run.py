"""A measured training run from the float start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

from torch import nn

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.export.quantized_layers import quantized_layers
from rlquant.layers import LayerFacts, find_layers
from rlquant.network.quantize import quantize
from rlquant.objective import Classification
from rlquant.samples import Samples
from rlquant.tasks.networks import build
from rlquant.training.mixed_network import trainable_weight
from rlquant.training.settings import TrainOutcome, TrainSettings
from rlquant.training.trainer import Trainer
from rlquant_experiments.reproduction.data import error_percent, splits_of
from rlquant_experiments.reproduction.runs import Measured, Progress
from rlquant_experiments.reproduction.ttq.float_start import data_of, float_start
from rlquant_experiments.reproduction.ttq.packed_sizes import packed_sizes
from rlquant_experiments.reproduction.ttq.presets import FIRST_LAYER, TtqPreset
from rlquant_experiments.reproduction.ttq.variants import THRESHOLD, Variant
from rlquant_experiments.reproduction.watching import telling

CALIBRATION_IMAGES = 1000
"""Training images of which BatchNorm's statistics are estimated at the end, in all variants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What decides a run beside its seed.

    Attributes:
        preset: data, networks and settings.
        blocks: a stage, the depth.
        variant: the way of training.
        rate: learning rate of latent weights, scales, biases and BatchNorm alike.
        device: where.
    """

    preset: TtqPreset
    blocks: int
    variant: Variant
    rate: float
    device: str

    @property
    def settings(self) -> TrainSettings:
        """How the run is trained."""
        return replace(
            self.preset.tuning,
            learning_rate=self.rate,
            scale_rate=self.rate,
            bias_rate=self.rate,
            ternary_threshold=THRESHOLD,
            ternary_sparsity=self.variant.sparsity,
        )


def measured_run(training: Training, seed: int, progress: Progress) -> Measured:
    """Train from the float start, and measure on the test set.

    Returns:
        Errors in percent ("test_error", "validation_error"; "start_error" is that of the float
        start on the test set), "train_losses" of each tenth of the steps, "diverged" (0 or 1),
        and of ternary networks their sizes (see `packed_sizes`) and "asymmetry": the mean over
        layers of |Wp - Wn| over the mean of both.
    """
    start, trained, outcome = trained_network(training, seed, progress)
    splits = data_of(training.preset, training.device)
    figures: dict[str, float | tuple[float, ...]] = {
        "test_error": error_percent(trained, splits.test),
        "validation_error": error_percent(trained, splits.validation),
        "train_losses": outcome.losses,
        "diverged": float(outcome.diverged),
    }
    if training.variant.make is None:
        return {**figures, "start_error": error_percent(start, splits.test)}
    return {**figures, **packed_sizes(trained, start), "asymmetry": asymmetry(trained)}


def validated_run(training: Training, seed: int, progress: Progress) -> Measured:
    """Train as `measured_run`, and measure on the validation set alone."""
    _, trained, outcome = trained_network(training, seed, progress)
    validation = data_of(training.preset, training.device).validation
    return {
        "validation_error": error_percent(trained, validation),
        "diverged": float(outcome.diverged),
    }


def trained_network(
    training: Training, seed: int, progress: Progress
) -> tuple[nn.Module, nn.Module, TrainOutcome]:
    """Return the float start, what was trained from it, and how that went."""
    preset, device = training.preset, training.device
    inputs, targets = data_of(preset, device).train
    start = float_start(preset, training.blocks, seed, device)
    layers = find_layers(start, inputs[:2])
    samples = Samples((inputs,), targets)
    trainer = Trainer(
        start,
        layers,
        samples,
        samples.first(CALIBRATION_IMAGES),
        Classification(),
        training.settings,
        seed=seed,
        make_weight=training.variant.make or trainable_weight,
    )
    config = QuantizationConfig(()) if training.variant.make is None else ternary(layers)
    trained, outcome = trainer.train(config, telling(progress))
    return start, trained, outcome


def packed_run(name: str, data: str, progress: Progress) -> Measured:
    """Pack an untrained network of the tasks with ternary weights; training moves no byte."""
    splits = splits_of(data, "cpu")
    network = build(name, splits.input_shape, splits.classes).eval()
    layers = find_layers(network, splits.train[0][:2])
    progress(1)
    return packed_sizes(quantize(network, ternary(layers)), network)


def ternary(layers: tuple[LayerFacts, ...]) -> QuantizationConfig:
    """Return the configuration of the paper: all layers ternary but the first convolution."""
    chosen = [facts.name for facts in layers if facts.name != FIRST_LAYER]
    choices = (LayerChoice(name, 2, method="ternary") for name in chosen)
    return QuantizationConfig(tuple(choices)).canonical("trained")


def asymmetry(quantized: nn.Module) -> float:
    """Return the mean over ternary layers of |Wp - Wn| over the mean of both."""
    shares = []
    for layer in quantized_layers(quantized).values():
        values = layer.weight.tensor.values
        assert values is not None
        negative, _, positive = values.double().abs().tolist()
        shares.append(2 * abs(positive - negative) / (positive + negative))
    return fmean(shares)
