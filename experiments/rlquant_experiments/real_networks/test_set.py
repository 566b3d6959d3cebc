"""The test set of a task: the float network's answers once, one pass for every other network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlquant import Measurement
from rlquant.batch_size import batch_size_within
from rlquant.data import take_samples
from rlquant.evaluation.measure import run_batches, with_targets
from rlquant.objective import Detailed, Objective, as_objective, targets_of, units_of
from rlquant.samples import Samples
from rlquant.tasks import Task


class TestSet:
    """Test samples of a task, which networks are measured on by its objective and its metric.

    Args:
        task: see there.
        count: samples, at most.
    """

    __test__ = False  # no test case of pytest's

    def __init__(self, task: Task, count: int) -> None:
        samples = take_samples(task.test, count, name="test", device=torch.device("cpu"))
        objective = as_objective(task.objective)
        if task.metric is not None and task.metric != objective:
            objective = Joined(objective, task.metric)
        self._objective = objective
        parts = samples.batches(batch_size_within(task.network, samples))
        self._batches = with_targets(task.network, parts, objective)

    def measure(self, network: nn.Module) -> Measurement:
        """Measure a network in eval mode."""
        return run_batches(network, self._batches, self._objective)


@dataclass(frozen=True, slots=True)
class Joined:
    """An objective with another one's mean loss and metrics among its own."""

    first: Objective
    second: Objective

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.first.name} and {self.second.name}"

    def targets_of(self, batch: Samples, float_outputs: Callable[[], Any]) -> dict[str, Tensor]:
        """Return the targets of both, those of the second behind a prefix."""
        first, second = (
            targets_of(objective, batch, float_outputs) for objective in (self.first, self.second)
        )
        return {**_named(first), **_prefixed(_named(second))}

    def __call__(self, outputs: Any, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the first objective's sums."""
        return self.first(outputs, _of_first(targets))

    def check(self, outputs: Any, targets: Any) -> None:
        """Check both."""
        self.first.check(outputs, _of_first(targets))
        self.second.check(outputs, _of_second(targets))

    def units(self, targets: Mapping[str, Tensor]) -> int:
        """Return the units of the first."""
        samples = Samples((next(iter(targets.values())),), {})
        return units_of(self.first, samples, _of_first(targets))

    def details(self, outputs: Any, targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the values of both, those of the second behind a prefix."""
        first, second = (
            objective.details(outputs, own) if isinstance(objective, Detailed) else {}
            for objective, own in (
                (self.first, _of_first(targets)),
                (self.second, _of_second(targets)),
            )
        )
        return {**first, **_prefixed(second)}

    def metrics(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics of both, and the mean loss of the second under its name."""
        own = _of_second(values)
        found = {self.second.name: float(own["loss"].double().mean())}
        for objective, part in ((self.first, _of_first(values)), (self.second, own)):
            if isinstance(objective, Detailed):
                found |= objective.metrics(part)
        return found


PREFIX = "second: "


def _named(targets: Any) -> Mapping[str, Tensor]:
    return {"": targets} if isinstance(targets, Tensor) else targets


def _prefixed(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{PREFIX}{name}": value for name, value in values.items()}


def _of_first(values: Mapping[str, Tensor]) -> Any:
    return _alone({name: v for name, v in values.items() if not name.startswith(PREFIX)})


def _of_second(values: Mapping[str, Tensor]) -> Any:
    return _alone({n.removeprefix(PREFIX): v for n, v in values.items() if n.startswith(PREFIX)})


def _alone(values: Mapping[str, Tensor]) -> Any:
    """Return tensors by name, or the one that has none."""
    return values[""] if list(values) == [""] else values
