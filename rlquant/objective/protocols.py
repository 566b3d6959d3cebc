"""The contract of objectives: what every one has, and the abilities that some have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from rlquant.samples import Samples, Targets


@runtime_checkable
class Objective(Protocol):
    """How outputs are scored: sums over a batch, so that batches can be added up.

    A plain function `(outputs, targets) -> (summed loss, summed metric)` does too; see
    `as_objective`.
    """

    @property
    def name(self) -> str:
        """Identify the objective in stores and reports."""

    def __call__(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """Return the batch's summed loss and summed metric, each a scalar tensor."""

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` where outputs and targets do not belong together."""


@runtime_checkable
class PerSample(Protocol):
    """An objective that can tell the samples of a batch apart, as racing wants it."""

    def losses(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the loss of each sample, shape `(batch,)`; their sum is the batch's."""


@runtime_checkable
class PerUnit(Protocol):
    """An objective whose means are over something else than samples, such as tokens."""

    def units(self, targets: Any) -> int:
        """Return how many units the sums of a batch are over."""


@runtime_checkable
class Detailed(Protocol):
    """An objective that gives further metrics by name, from values of single units."""

    def details(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:
        """Return by name the values of the units of a batch, shape `(units,)`.

        The sums of "loss" and "agreement" are what the objective itself returns.
        """

    def metrics(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics of the values of all batches together."""


@runtime_checkable
class MakesTargets(Protocol):
    """An objective that makes its targets itself: of the inputs, or the float network's outputs."""

    def targets_of(self, batch: Samples, float_outputs: Callable[[], Any]) -> Targets:
        """Return the targets of a batch.

        Args:
            batch: its inputs, and the targets that the data gave, if any.
            float_outputs: gives the float network's outputs for it.
        """


@runtime_checkable
class Curved(Protocol):
    """An objective whose curvature by the outputs can be sampled; see `rlquant.sensitivity`."""

    def sampled_loss(self, outputs: Any, targets: Any, generator: torch.Generator) -> Tensor:
        """Return a random function of a batch's outputs, summed over its units, a scalar.

        Its gradient by the outputs has mean 0, independent for each unit, and as its covariance the
        Hessian of the unit's loss by the outputs: of a likelihood the Fisher information, of a
        distance that of the distance at 0 (Gauss-Newton).

        Args:
            outputs: of the float network, with gradients.
            targets: of the batch; only which units count is read.
            generator: of the draws, on the CPU.
        """
