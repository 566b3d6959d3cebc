"""Parts of a new problem: its samples, layers and notes, each checked before the next is made."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from rlquant.batch_size import batch_size_within
from rlquant.config import Fidelity
from rlquant.copying.network_copy import shared_copy
from rlquant.cost.float_share import FloatShare
from rlquant.data import Data, samples_behind, take_samples
from rlquant.errors import DataError
from rlquant.evaluation.measure import measure_float
from rlquant.evaluation.process_memory import close_gaps
from rlquant.evaluation.racing import Racing
from rlquant.evaluation.repeated import PASSES, run_repeatedly
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.forward_pass import outputs_of
from rlquant.layers import LayerFacts, layers_and_macs
from rlquant.network.calibrate import FloatReference
from rlquant.objective import Objective
from rlquant.problem.checks import (
    brief_samples,
    require_activations,
    require_finite_float,
    require_moments,
    require_runs,
    require_untrained_parts,
)
from rlquant.problem.steadiness import require_repeatable, require_steady
from rlquant.samples import Samples, require_different
from rlquant.score import Measurement
from rlquant.space import SearchSpace
from rlquant.weight_sites import weight_sites

logger = logging.getLogger(__name__)

GRADIENT_SAMPLES = 64
"""Training samples that sensitivities are measured on, at most."""


def samples_of(
    train_data: Data,
    validation_data: Data,
    evaluation: EvaluationSettings,
    racing: Racing | None,
    place: torch.device,
) -> tuple[Samples, Samples]:
    """Take the samples of calibration and of validation, in the order of measurements.

    Raises:
        DataError: see `take_samples`; or both are the same.
    """
    if train_data is validation_data:
        raise DataError("validation_data is train_data; give separate data")
    calibration = take_samples(
        train_data,
        evaluation.calibration_samples,
        name="train_data",
        device=place,
        setting="calibration_samples",
    )
    validation = take_samples(
        validation_data,
        evaluation.validation_samples,
        name="validation_data",
        device=place,
        setting="validation_samples",
        level=logging.INFO,  # nothing is worse for it
    )
    require_different(calibration, validation)
    if racing is not None:  # so that each batch is a fair draw of all samples
        validation = racing.shuffled(validation)
    return calibration, validation


def unfitted_samples(train_data: Data, calibration: Samples, validation: Samples) -> Samples:
    """Return the samples that sensitivities are measured on.

    They are training samples behind those of calibration: quantizers are fitted to the ones of
    calibration, whose errors are smaller, and searches to the ones of validation, on which they
    would find what suits these samples alone. Where there are too few, it is those of validation.
    """
    found = samples_behind(
        train_data,
        len(calibration),
        GRADIENT_SAMPLES,
        name="train_data",
        device=calibration.device,
    )
    if found is None or len(found) < min(GRADIENT_SAMPLES, len(validation)):
        logger.info(
            "train_data has %d samples behind those of calibration, or is shuffled: sensitivities "
            "are measured on validation samples, which a search may fit",
            0 if found is None else len(found),
        )
        return validation
    return found


def with_batch_size(
    network: nn.Module, calibration: Samples, evaluation: EvaluationSettings
) -> EvaluationSettings:
    """Return the settings with a size of batches, once the network was run on two samples."""
    few, asked = calibration.first(2), evaluation.batch_size
    if asked is not None:  # else its first samples are run for the memory of their outputs
        with torch.no_grad():
            outputs_of(shared_copy(network), few.inputs, "train_data")
    size = batch_size_within(network, few, asked, name="train_data")
    return dataclasses.replace(evaluation, batch_size=size)


def found_layers(
    network: nn.Module,
    calibration: Samples,
    validation: Samples,
    objective: Objective,
    evaluation: EvaluationSettings,
    excluded: Sequence[str],
) -> tuple[tuple[LayerFacts, ...], Mapping[str, int]]:
    """Run the network on its samples and find what can be quantized, and what is kept.

    Returns:
        The layers, and the multiply-accumulates of those that are kept; see `layers_and_macs`.
    """
    assert evaluation.batch_size is not None  # see `with_batch_size`
    few = calibration.first(2)
    require_runs(network, objective, validation.first(evaluation.batch_size))
    close_gaps()
    brief = brief_samples(network, few)
    return layers_and_macs(network, few.inputs, excluded, brief.inputs)


def without_idle_overrides(
    space: SearchSpace, network: nn.Module, layers: Sequence[LayerFacts]
) -> SearchSpace:
    """Return the space without overrides of layers that are there and not searched."""
    searched = {facts.name for facts in layers}
    idle = [name for name in weight_sites(network) if name not in searched]
    return space.without_overrides(idle, searched)


def noted(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    evaluation: EvaluationSettings,
    excluded: Sequence[str],
) -> tuple[str, ...]:
    """Return what one should know before scores are compared, once it is in the log."""
    names = [facts.name for facts in layers]
    share = FloatShare.of(network, names, excluded, "named in exclude or tied")
    logger.log(logging.WARNING if share.share > 0.5 else logging.INFO, "%s", share)
    notes = []
    if evaluation.calibrate != "auto":
        notes.append(f"calibrate={evaluation.calibrate!r}: the rest stays as it was")
    if evaluation.precision != "own":
        notes.append(f"scores were measured in {evaluation.precision} (precision=)")
    if evaluation.stochastic:
        notes.append(f"scores are means over {PASSES} passes with fixed seeds (stochastic=True)")
    for note in notes:
        logger.info("%s", note)
    return str(share), *notes


def require_measurable(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    calibration: Samples,
    validation: Samples,
    evaluation: EvaluationSettings,
) -> None:
    """Raise where a network has no scores that can be compared."""
    if evaluation.stochastic:
        require_repeatable(network, validation.first(2))
        return
    names = [facts.name for facts in layers]
    first = brief_samples(network, calibration.first(2))
    require_steady(network, names, first, brief_samples(network, validation))


def require_options(
    network: nn.Module, layers: Sequence[LayerFacts], space: SearchSpace, fidelity: Fidelity
) -> None:
    """Raise `ChoiceError` where layers cannot have the options of the space."""
    require_activations(layers, space)
    require_moments(network, layers, space)
    require_untrained_parts(layers, space, fidelity)


def require_calibratable(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    calibration: Samples,
    evaluation: EvaluationSettings,
) -> None:
    """Raise `DataError` where infinite inputs are not meant, as they are in a mask."""
    if calibration.infinite():
        FloatReference.measure(network, layers, calibration, evaluation.calibrate)


def float_measurement(
    network: nn.Module,
    batches: Sequence[Samples],
    objective: Objective,
    evaluation: EvaluationSettings,
    validation: Samples,
) -> Measurement:
    """Measure the float network.

    Raises:
        NetworkError, SettingsError: see `require_finite_float`.
    """
    measured = measure_float(network, batches, objective)
    if evaluation.stochastic:
        measured = run_repeatedly(network, batches, objective)
    require_finite_float(measured, objective, validation)
    return measured
