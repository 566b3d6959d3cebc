"""Quantization-aware training of one configuration in one call."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from rlquant.ambient import isolated, seeded
from rlquant.arguments import explained
from rlquant.batch_size import batch_size_within
from rlquant.config import QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.data import (
    Data,
    is_batch,
    iterate,
    take_batch,
    take_samples,
)
from rlquant.errors import LARGEST_SEED, DataError, SettingsError, whole_number
from rlquant.evaluation.measure import ALL_SAMPLES, run_batches, with_targets
from rlquant.evaluation_settings import EvaluationSettings, require_evaluation
from rlquant.forward_pass import outputs_of
from rlquant.network.quantize import layers_of, require_known_layers
from rlquant.network_kind import is_transformer_like
from rlquant.objective import MakesTargets, Objective, ObjectiveFunction, as_objective
from rlquant.plain_network import require_network
from rlquant.problem.checks import (
    require_finite_losses,
    require_untrained_part,
    resolve_device,
)
from rlquant.problem.training_plan import require_teacher
from rlquant.quantizable import require_quantizable
from rlquant.samples import Samples
from rlquant.score import Measurement
from rlquant.training.fixed_point.fixed_point import train_fixed_point
from rlquant.training.settings import TrainOutcome, TrainSettings
from rlquant.training.trainer import Trainer
from rlquant.training.training_data import as_many, require_trainable
from rlquant.training.watching import Watcher
from rlquant.weight_sites import site_of


@explained
@isolated(seed=0)
def train(
    network: nn.Module,
    config: QuantizationConfig,
    train_data: Data,
    validation_data: Data | None = None,
    *,
    teacher: nn.Module | None = None,
    settings: TrainSettings | None = None,
    seed: int = 0,
    objective: Objective | ObjectiveFunction | None = None,
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - a frozen value
    warm_start: bool = False,
    watch: Watcher | None = None,
) -> tuple[nn.Module, TrainOutcome]:
    """Train a quantized copy of `network` as `config` says; the network itself never changes.

    One loop trains every mix of methods. The loss is the objective's, and where a layer is
    `distilled` for the larger part the distance from the teacher's answers. Biases and the affine
    parameters of normalisations train; kept weights and post-training codes do not (learned
    points do). At the end everything is projected to its points once more and the statistics of
    BatchNorms are estimated again.

    Args:
        network: trained float network.
        config: one choice per layer; layers not named are kept. Empty for fixed-point training.
        train_data: a pair (inputs, targets) of tensors, a mapping of them, or a loader.
        validation_data: measured at the end, where given; nothing is decided by it.
        teacher: a larger network that distilled layers learn from; the float network by default.
        settings: see `TrainSettings`; by default five epochs, with smaller rates and a warm-up for
            transformers.
        seed: of quantizers' draws, of the order of samples, of dropout.
        objective: cross-entropy and accuracy by default.
        evaluation: how many training samples are used for statistics and ranges, how ranges are
            chosen, in which batches `validation_data` are run (all of them), and where to train.
        warm_start: begin at layers that were adapted on their own; for short runs.
        watch: told how the run goes; may end it early.

    Returns:
        The trained network, of the same class and signature, in eval mode, and what came of it.

    Raises:
        UnknownNameError: `config` names a layer that is not there.
        SettingsError: a setting outside what is allowed, batches of one with BatchNorm.
        DataError: an empty loader, labels out of range, a teacher with other outputs.
        NetworkError: see `find_layers`.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> from rlquant import LayerChoice, QuantizationConfig, TrainSettings
        >>> config = QuantizationConfig((LayerChoice("hidden", 2, method="ternary"),))
        >>> short = TrainSettings(steps=5)
        >>> trained, outcome = rlquant.train(network, config, data, settings=short)
        >>> trained.hidden.weight.unique().numel()
        3
    """
    chosen = _chosen(network, settings)
    if not isinstance(chosen, TrainSettings):
        raise SettingsError(f"settings={chosen!r} is no TrainSettings")
    require_evaluation(evaluation)
    scored_by, config = as_objective(objective), config.canonical("trained")
    place = resolve_device(evaluation.device, require_network(network))
    whole_number("seed", seed, 0, LARGEST_SEED)
    _require_applies(config, network, chosen)
    if chosen.arithmetic is not None and (teacher is not None or objective is not None):
        raise SettingsError(
            "train: arithmetic=FixedPoint(...) trains classifiers by cross-entropy, alone; leave "
            "objective and teacher out, or arithmetic"
        )
    network = copy_network(network).to(place)
    data = take_batch(train_data, "train_data", place) if is_batch(train_data) else train_data
    with seeded(seed):  # a loader may shuffle
        first = _first_batch(data, place)
        count = evaluation.calibration_samples if chosen.arithmetic is None else ALL_SAMPLES
        samples = _samples(data, count, place)
    outputs_of(network, first.first(2).inputs, "train_data")
    size = chosen.batch_size if isinstance(data, Samples) else len(first)
    require_trainable(network, scored_by, first, size)
    require_finite_losses(network, scored_by, first, "train_data")
    validation = _validation(validation_data, place)
    if validation is not None:
        outputs = outputs_of(network, validation.first(2).inputs, "validation_data")
        if not isinstance(scored_by, MakesTargets):
            scored_by.check(as_many(outputs, len(validation)), validation.targets)
    measured = partial(_measured, network, validation, scored_by, evaluation.batch_size)
    if chosen.arithmetic is not None:
        trained, outcome = train_fixed_point(network, samples, chosen, seed=seed, watch=watch)
        return trained, replace(
            outcome,
            validation=measured(trained),
        )

    followed = None if teacher is None else copy_network(require_network(teacher)).to(place)
    if any(choice.method == "distilled" for choice in config):
        require_teacher(network, followed or network, samples)
    kept = all(choice.method == "float" for choice in config)
    trainer = Trainer(
        network,
        () if kept else layers_of(network, config, samples.first(2).inputs),
        data,
        samples,
        scored_by,
        chosen,
        teacher=followed,
        seed=seed,
        evaluation=evaluation,
        warm_start=warm_start,
    )
    trained, outcome = trainer.train(config, watch)
    return trained, replace(
        outcome,
        validation=measured(trained),
    )


def _chosen(network: nn.Module, settings: TrainSettings | None) -> TrainSettings:
    """Return the settings, or those that suit the kind of the network."""
    if settings is not None:
        return settings
    plain = TrainSettings()
    return plain.for_transformer() if is_transformer_like(require_network(network)) else plain


def _require_applies(
    config: QuantizationConfig, network: nn.Module, settings: TrainSettings
) -> None:
    """Raise unless the network has the layers and the settings can train them."""
    require_known_layers(config, network)
    quantized = [choice.layer for choice in config if choice.method != "float"]
    require_quantizable(network, quantized)
    for choice in config.canonical("trained"):
        require_untrained_part(choice.layer, site_of(network, choice.layer).kind, choice)
    if settings.arithmetic is not None and quantized:
        raise SettingsError(
            "train: arithmetic=FixedPoint(...) trains all weights on one grid; give an empty "
            "QuantizationConfig(()), or leave arithmetic out"
        )


def _first_batch(data: Data | Samples, device: torch.device) -> Samples:
    """Return what can be checked at once: all samples that are there, else the first batch."""
    if isinstance(data, Samples):
        return data
    for batch in iterate(data, "train_data"):
        return take_batch(batch, "train_data", device)
    raise DataError("train_data is empty: it gave no sample")


def _samples(data: Data | Samples, count: int, device: torch.device) -> Samples:
    if isinstance(data, Samples):
        return data.first(count)
    return take_samples(data, count, name="train_data", device=device, any_order=True)


def _validation(data: Data | None, device: torch.device) -> Samples | None:
    if data is None:
        return None
    return take_samples(data, ALL_SAMPLES, name="validation_data", device=device)


def _measured(
    network: nn.Module,
    validation: Samples | None,
    objective: Objective,
    batch_size: int | None,
    trained: nn.Module,
) -> Measurement | None:
    """Measure what was trained of a float network, where there are validation samples."""
    if validation is None:
        return None
    size = batch_size_within(trained, validation, batch_size)
    batches = with_targets(network, validation.batches(size), objective)
    return run_batches(trained, batches, objective)
