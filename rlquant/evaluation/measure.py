"""Running a network on samples and scoring its outputs: for evaluations and for the test set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.batch_size import batch_size_within
from rlquant.copying.network_copy import copy_network
from rlquant.data import Data, take_samples
from rlquant.errors import DataError, SettingsError, whole_number
from rlquant.evaluation.kept_targets import KeptTargets
from rlquant.evaluation.looks import Ended, Look, LooksAt
from rlquant.forward_pass import outputs_of, run
from rlquant.objective import (
    Detailed,
    MakesTargets,
    Objective,
    ObjectiveFunction,
    PerSample,
    as_objective,
    units_of,
)
from rlquant.plain_network import device_of, require_module
from rlquant.samples import Samples
from rlquant.score import Measurement

ALL_SAMPLES = 2**62


def run_batches(
    network: nn.Module, batches: Sequence[Samples], objective: Objective
) -> Measurement:
    """Return mean loss and mean metric of a network in eval mode over all batches."""
    return score_outputs((run(network, batch.inputs) for batch in batches), batches, objective)


def score_outputs(
    outputs: Iterable[Any],
    batches: Sequence[Samples],
    objective: Objective,
    look: LooksAt | None = None,
) -> Measurement:
    """Return mean loss and mean metric of a network's outputs, which are made as they are scored.

    Args:
        outputs: of one batch after the other.
        batches: the same batches.
        objective: how outputs are scored; `PerSample` where they are looked at.
        look: shown what each batch gave.

    Raises:
        Ended: `look` asked for an early end.
        DataError: an objective that is looked at gives no loss a sample.
    """
    loss = torch.zeros((), dtype=torch.float64, device=batches[0].device)
    metric = torch.zeros_like(loss)
    count = samples = 0
    values: list[Mapping[str, Tensor]] = []
    with torch.inference_mode():
        for batch, given in zip(batches, outputs, strict=False):
            # the objective may write to outputs that are then looked at
            looked_at = None if look is None else tree_map_only(Tensor, torch.clone, given)
            targets = batch.targets
            if isinstance(objective, Detailed):
                values.append(objective.details(given, targets))
                batch_loss, batch_metric = (values[-1][n].sum() for n in ("loss", "agreement"))
            else:
                batch_loss, batch_metric = objective(given, targets)
            loss += batch_loss
            metric += batch_metric
            samples += len(batch)
            count += units_of(objective, batch, targets)
            if look is not None and look(_look(looked_at, batch.targets, batch_metric, objective)):
                raise Ended
    mean = float(loss) / count
    return Measurement(
        mean if math.isfinite(mean) else math.inf,
        float(metric) / count,
        samples,
        metrics=_metrics(objective, values),
    )


def _metrics(objective: Objective, values: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Return the objective's further metrics that are finite."""
    if not isinstance(objective, Detailed):
        return {}
    joined = {name: torch.cat([each[name] for each in values]) for name in values[0]}
    found = objective.metrics(joined)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _look(outputs: Any, targets: Tensor, metric: Tensor, objective: Objective) -> Look:
    assert isinstance(objective, PerSample)
    losses = objective.losses(outputs, targets)
    if losses.shape != (len(targets),):
        raise DataError(
            f"objective {objective.name!r}: losses gave the shape {tuple(losses.shape)} for "
            f"{len(targets)} samples; return one loss a sample, shape (batch,)"
        )
    return np.concatenate([[float(metric)], losses.cpu().double().numpy()])


def with_targets(
    network: nn.Module | None, batches: Sequence[Samples], objective: Objective
) -> list[Samples]:
    """Return the batches with the targets that an objective makes itself, where it does.

    Args:
        network: the float network, in eval mode; None where there is none.
        batches: of samples.
        objective: see `MakesTargets`.

    Raises:
        SettingsError: an objective that compares with a float network, and none was given.
        DataError: inputs that the objective, or the float network, cannot take.
    """
    if not isinstance(objective, MakesTargets):
        return list(batches)

    def outputs(batch: Samples) -> Any:
        if network is None:
            raise SettingsError(
                f"objective {objective.name!r} compares with the float network's outputs; give it "
                f"as float_network"
            )
        return outputs_of(network, batch.inputs, "data", "float network")

    kept = KeptTargets()
    with torch.inference_mode():
        return [
            batch.with_targets(kept.keep(objective.targets_of(batch, partial(outputs, batch))))
            for batch in batches
        ]


def measure_float(
    network: nn.Module, batches: Sequence[Samples], objective: Objective
) -> Measurement:
    """Measure a float network as it is, without calibration.

    Raises:
        DataError: outputs and targets do not belong together.
    """
    return score_outputs(
        _checked(network, batches, objective, "validation_data"), batches, objective
    )


def _checked(
    network: nn.Module, batches: Sequence[Samples], objective: Objective, name: str
) -> Iterator[Any]:
    """Yield the outputs of one batch after the other, once they fit the targets."""
    for batch in batches:
        outputs = outputs_of(network, batch.inputs, name)
        objective.check(outputs, batch.targets)
        yield outputs


@explained
@isolated(seed=0)
def measure(
    network: nn.Module,
    data: Data,
    *,
    objective: Objective | ObjectiveFunction | None = None,
    batch_size: int | None = None,
    float_network: nn.Module | None = None,
) -> Measurement:
    """Measure a network on data that no search saw, e.g. the test set.

    Args:
        network: float or quantized; a copy is run in eval mode, it is left as it is.
        data: all of its samples are used.
        objective: cross-entropy and accuracy by default.
        batch_size: samples of a batch; by default 250, or fewer where their tensors are large, see
            `EvaluationSettings`.
        float_network: what `Distillation` compares the network with.

    Raises:
        NetworkError: no network, or one that cannot be copied.
        DataError: see `take_samples`; data that the network does not run on, or outputs and targets
            that do not belong together.
        SettingsError: an objective that cannot be called, `batch_size` below 1.
    """
    asked = None if batch_size is None else whole_number("batch_size", batch_size, 1)
    scored_by = as_objective(objective)
    place = device_of(require_module(network))
    samples = take_samples(data, ALL_SAMPLES, name="data", device=place)
    copied = copy_network(network)
    reference = None if float_network is None else copy_network(require_module(float_network))
    parts = samples.batches(batch_size_within(copied, samples, asked))
    batches = with_targets(reference, parts, scored_by)
    return score_outputs(_checked(copied, batches, scored_by, "data"), batches, scored_by)
