"""Input validation of a problem: each mistake is named before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from rlquant.config import HESSIAN_BASED, Fidelity, LayerChoice
from rlquant.copying.network_copy import shared_copy
from rlquant.cost.budget import Budget
from rlquant.errors import ChoiceError, DataError, NetworkError, SettingsError
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.export.deployment import DeploymentTarget
from rlquant.forward_pass import outputs_of
from rlquant.gguf.imatrix import read_imatrix
from rlquant.layers import LayerFacts
from rlquant.network_kind import WIDEST, is_measured
from rlquant.objective import MakesTargets, Objective, targets_of
from rlquant.plain_network import device_of
from rlquant.samples import Samples, why_not_finite
from rlquant.score import Measurement
from rlquant.space import SearchSpace
from rlquant.weight_sites import PARTS, site_of


def require_budget(budget: Any) -> Budget:
    """Return a budget; `SettingsError` for anything else."""
    if not isinstance(budget, Budget):
        raise SettingsError(
            f"budget={budget!r} is no Budget; make one, e.g. Budget.average_bits(3.0)"
        )
    return budget


def require_space(
    space: Any, network: nn.Module, fidelity: Fidelity, target: DeploymentTarget | None = None
) -> SearchSpace:
    """Return a space that can be searched, the network's default for None.

    Of either what the target can express.

    Raises:
        SettingsError: no `SearchSpace`.
        ChoiceError: the target can express none of the options.
    """
    if space is None and target is not None:
        return target.space_for(network, fidelity)
    if space is None:
        return SearchSpace.for_network(network, fidelity)
    if not isinstance(space, SearchSpace):
        raise SettingsError(f"space={space!r} is no SearchSpace; make one, e.g. SearchSpace()")
    return space if target is None else target.restrict(space, network)


def resolve_device(device: Any, network: nn.Module) -> torch.device:
    """Return the device, the network's own for None; `SettingsError` where it cannot be used."""
    if device is None:
        return device_of(network)
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"device={device!r} cannot be used here: {reason}") from error
    if place.type == "meta":
        raise SettingsError("device='meta' computes nothing; give one with data, such as 'cpu'")
    return place


def require_runs(network: nn.Module, objective: Objective, validation: Samples) -> None:
    """Run a copy of the network on a batch of validation samples, and score the outputs.

    Raises:
        DataError: the network does not run on them, or outputs and targets do not belong together.
        SettingsError: the objective does not give two scalars.
    """
    clone = shared_copy(network)
    with torch.no_grad():
        outputs = outputs_of(clone, validation.inputs, "validation_data")
        targets = validation.targets
        if isinstance(objective, MakesTargets):
            own = tree_map_only(Tensor, torch.clone, outputs)
            targets = objective.targets_of(validation, lambda: own)
        objective.check(outputs, targets)
        sums = objective(outputs, targets)
    pair = isinstance(sums, (tuple, list)) and len(sums) == 2
    if not pair or not all(_is_scalar(value) for value in sums):
        raise SettingsError(
            f"objective {objective.name!r} gave {sums!r}; it must give the batch's summed loss and "
            f"summed metric, each a scalar"
        )


BRIEF = 32
"""Tokens of a sample on which a network is tried out with other weights."""


def brief_samples(network: nn.Module, samples: Samples) -> Samples:
    """Return samples with fewer tokens where they are tokens and the network runs on them."""
    brief = samples.shortened(BRIEF)
    if brief is samples:
        return samples
    try:
        with torch.no_grad():
            outputs_of(shared_copy(network), brief.first(2).inputs, "data")
    except DataError:  # it takes samples of one length alone
        return samples
    return brief


def require_finite_losses(
    network: nn.Module, objective: Objective, samples: Samples, name: str
) -> None:
    """Raise `DataError` where samples with infinite inputs give the float network no finite loss.

    In a mask infinite inputs may be meant, and do no harm.
    """
    infinite = samples.infinite()
    if not infinite:
        return
    chosen = samples.select(torch.tensor(infinite))
    with torch.no_grad():
        outputs = outputs_of(shared_copy(network), chosen.inputs, name)
        targets = targets_of(objective, chosen, lambda: outputs)
        loss = objective(outputs, targets)[0]
    if not math.isfinite(float(loss)):
        raise DataError(
            f"{name}: the float network's loss is not finite; {why_not_finite(samples)}"
        )


def _is_scalar(value: Any) -> bool:
    return value.dim() == 0 if isinstance(value, Tensor) else isinstance(value, Real)


def require_finite_float(measured: Measurement, objective: Objective, samples: Samples) -> None:
    """Raise where the float network has no finite loss, or a metric that is NaN."""
    if not math.isfinite(measured.loss):
        raise NetworkError(
            f"the float network's loss on validation_data is not finite; is it trained? "
            f"{why_not_finite(samples)}"
        )
    if math.isnan(measured.accuracy):
        raise SettingsError(
            f"objective {objective.name!r} gives a metric that is NaN on validation_data; give 0 "
            f"where there is none"
        )


def require_own_precision(evaluation: EvaluationSettings, fidelity: Fidelity) -> None:
    """Raise `SettingsError` where what is trained is to be measured in another precision."""
    if evaluation.precision != "own":
        raise SettingsError(
            f"precision={evaluation.precision!r} with fidelity={fidelity!r}: what is trained is "
            f'measured in its own precision; leave it out, or use fidelity="calibrated"'
        )


def require_moments(network: nn.Module, layers: Iterable[LayerFacts], space: SearchSpace) -> None:
    """Raise `ChoiceError` where roundings look at outputs and a layer has no moments for it."""
    for facts in layers:
        hessian_based = HESSIAN_BASED.intersection(space.of_layer(facts.name).rounding)
        site = site_of(network, facts.name)
        measured = not site.is_part and is_measured(site.owner_in(network))
        if hessian_based and not measured:
            raise ChoiceError(
                f"layer {facts.name!r}: rounding={min(hessian_based)!r} is for linear layers and "
                f"convolutions of up to {WIDEST} weights an output channel; name the layer in "
                f"exclude, or leave the rounding out"
            )


def require_imatrix(
    network: nn.Module,
    layers: Sequence[LayerFacts],
    space: SearchSpace,
    evaluation: EvaluationSettings,
    fidelity: Fidelity,
) -> None:
    """Raise where an importance matrix cannot be read, or nothing would be quantized by it.

    Raises:
        SettingsError: roundings that look at outputs, or trained configurations.
        FileFormatError, NetworkError, StorageError: see `read_imatrix`.
    """
    if evaluation.imatrix is None:
        return
    rules = {rule for facts in layers for rule in space.of_layer(facts.name).rounding}
    if fidelity != "calibrated" or HESSIAN_BASED & rules:
        raise SettingsError(
            "imatrix says how inputs count one by one, which is for calibrated configurations with "
            "rounding nearest or stochastic; gptq and learned need whole matrices of calibration "
            "data: leave out either of them"
        )
    read_imatrix(Path(evaluation.imatrix), network, layers)


def require_activations(layers: Iterable[LayerFacts], space: SearchSpace) -> None:
    """Raise `ChoiceError` where inputs should be quantized that are no activations of a layer."""
    for facts in layers:
        widths = space.of_layer(facts.name).activation_bits
        if all(bits is None for bits in widths):
            continue
        if facts.kind == "embedding":
            raise ChoiceError(
                f"layer {facts.name!r} is an embedding, whose inputs are no activations: name it "
                f"in exclude, or give it activation_bits=(None,) in override"
            )
        if facts.kind in PARTS:
            raise ChoiceError(
                f"layer {facts.name!r} is a part of its module ({facts.kind}), which has no inputs "
                f"of its own: name it in exclude, or give it activation_bits=(None,) in override"
            )


def require_untrained_parts(
    layers: Iterable[LayerFacts], space: SearchSpace, fidelity: Fidelity
) -> None:
    """Raise `ChoiceError` where a layer should be trained that is a part of its module."""
    for facts in layers:
        if facts.kind not in PARTS:
            continue
        for option in space.of_layer(facts.name).options(fidelity):
            require_untrained_part(facts.name, facts.kind, option)


def require_untrained_part(layer: str, kind: str, choice: LayerChoice) -> None:
    """Raise `ChoiceError` where a choice trains a layer that is a part of its module.

    Args:
        layer: its name.
        kind: of the layer.
        choice: canonical.
    """
    trained = choice.method in ("ternary", "distilled") or choice.points == "learned"
    if kind in PARTS and trained:
        raise ChoiceError(
            f"layer {layer!r}: method={choice.method!r} with points={choice.points!r} trains the "
            f"weight, which layers of kind {kind!r} cannot yet; use method='post_training' without "
            f"learned points for it, or name it in exclude"
        )
