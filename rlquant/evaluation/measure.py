"""Running a network on samples and scoring its outputs: for evaluations and for the test set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.copying.network_copy import copy_network
from rlquant.data import Data, Samples, take_samples
from rlquant.errors import DataError, whole_number
from rlquant.evaluation.looks import Ended, Look, LooksAt
from rlquant.forward_pass import outputs_of
from rlquant.plain_network import device_of, require_module
from rlquant.score import Measurement, Objective, ObjectiveFunction, PerSample, as_objective

ALL_SAMPLES = 2**62


def run_batches(
    network: nn.Module, batches: Sequence[Samples], objective: Objective
) -> Measurement:
    """Return mean loss and mean metric of a network in eval mode over all batches."""
    return score_outputs((network(*batch.inputs) for batch in batches), batches, objective)


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
    count = 0
    with torch.inference_mode():
        for batch, given in zip(batches, outputs, strict=False):
            # the objective may write to outputs that are then looked at
            looked_at = None if look is None else tree_map_only(Tensor, torch.clone, given)
            batch_loss, batch_metric = objective(given, batch.targets)
            loss += batch_loss
            metric += batch_metric
            count += len(batch)
            if look is not None and look(_look(looked_at, batch.targets, batch_metric, objective)):
                raise Ended
    mean = float(loss) / count
    return Measurement(mean if math.isfinite(mean) else math.inf, float(metric) / count, count)


def _look(outputs: Any, targets: Tensor, metric: Tensor, objective: Objective) -> Look:
    assert isinstance(objective, PerSample)
    losses = objective.losses(outputs, targets)
    if losses.shape != (len(targets),):
        raise DataError(
            f"objective {objective.name!r}: losses gave the shape {tuple(losses.shape)} for "
            f"{len(targets)} samples; return one loss a sample, shape (batch,)"
        )
    return np.concatenate([[float(metric)], losses.cpu().double().numpy()])


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
    batch_size: int = 250,
) -> Measurement:
    """Measure a network on data that no search saw, e.g. the test set.

    Args:
        network: float or quantized; a copy is run in eval mode, it is left as it is.
        data: all of its samples are used.
        objective: cross-entropy and accuracy by default.
        batch_size: samples of a batch.

    Raises:
        NetworkError: no network, or one that cannot be copied.
        DataError: see `take_samples`; data that the network does not run on, or outputs and targets
            that do not belong together.
        SettingsError: an objective that cannot be called, `batch_size` below 1.
    """
    size = whole_number("batch_size", batch_size, 1)
    scored_by = as_objective(objective)
    place = device_of(require_module(network))
    samples = take_samples(data, ALL_SAMPLES, name="data", device=place)
    batches = samples.batches(size)
    return score_outputs(
        _checked(copy_network(network), batches, scored_by, "data"), batches, scored_by
    )
