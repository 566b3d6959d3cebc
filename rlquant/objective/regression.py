"""Regression: the mean squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlquant.errors import DataError
from rlquant.objective.drawn import loss_of_drawn_errors
from rlquant.objective.outputs import main_output, require_targets, wide


@dataclass(frozen=True, slots=True)
class Regression:
    """Mean squared error; outputs and float targets of the same shape `(batch, ...)`.

    The accuracy is minus the mean absolute error.
    """

    name: str = "regression"

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed squared error and minus the summed absolute error, means a sample."""
        error = self._error(outputs, targets)
        return error.square().mean(dim=1).sum(), -error.abs().mean(dim=1).sum()

    def losses(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the loss of each sample, shape `(batch,)`."""
        return self._error(outputs, targets).square().mean(dim=1)

    def _error(self, outputs: Any, targets: Tensor) -> Tensor:
        given = wide(main_output(outputs, self.name))
        return (given - targets.to(given.dtype)).reshape(len(targets), -1)

    def sampled_loss(self, outputs: Any, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of errors that are drawn; see `Curved`."""
        given = wide(main_output(outputs, self.name)).reshape(len(targets), -1)
        scale = torch.full_like(given[:, :1], (2.0 / given.shape[1]) ** 0.5)
        return loss_of_drawn_errors(given, scale, generator)

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for wrong shapes."""
        given = main_output(outputs, self.name)
        require_targets(targets, self.name)
        if given.shape != targets.shape or not len(targets):
            raise DataError(
                f"regression needs outputs and targets of one shape, got {tuple(given.shape)} and "
                f"{tuple(targets.shape)}"
            )
