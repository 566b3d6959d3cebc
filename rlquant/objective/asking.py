"""What an objective is asked for each batch: targets and units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rlquant.objective.protocols import MakesTargets, Objective, PerUnit
from rlquant.samples import Samples


def targets_of(objective: Objective, batch: Samples, float_outputs: Callable[[], Any]) -> Any:
    """Return the targets of a batch: those that the objective makes, or those of the data.

    Args:
        objective: may be a `MakesTargets`.
        batch: of samples.
        float_outputs: gives the float network's outputs for it.
    """
    if isinstance(objective, MakesTargets):
        return objective.targets_of(batch, float_outputs)
    return batch.targets


def units_of(objective: Objective, batch: Samples, targets: Any) -> int:
    """Return what the sums of an objective are over in a batch: samples, or its own units."""
    return objective.units(targets) if isinstance(objective, PerUnit) else len(batch)
