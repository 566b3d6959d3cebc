"""Classification: cross-entropy and accuracy of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rlquant.errors import DataError
from rlquant.objective.drawn import loss_of_drawn_classes
from rlquant.objective.outputs import main_output, require_targets, wide


@dataclass(frozen=True, slots=True)
class Classification:
    """Cross-entropy and accuracy; outputs `(batch, classes)`, integer targets `(batch,)`.

    Where outputs are a mapping or a tuple, their logits are taken; see `main_output`.
    """

    name: str = "classification"

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return summed cross-entropy and number of correct answers."""
        logits = main_output(outputs, self.name)
        loss = functional.cross_entropy(wide(logits), targets.long(), reduction="sum")
        return loss, (logits.argmax(dim=1) == targets).sum()

    def losses(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the loss of each sample, shape `(batch,)`."""
        logits = main_output(outputs, self.name)
        return functional.cross_entropy(wide(logits), targets.long(), reduction="none")

    def sampled_loss(self, outputs: Any, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Return the cross-entropy of classes drawn from the outputs themselves; see `Curved`."""
        return loss_of_drawn_classes(wide(main_output(outputs, self.name)), generator)

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for wrong shapes and for labels that no output stands for."""
        outputs = main_output(outputs, self.name)
        require_targets(targets, self.name)
        if not outputs.is_floating_point():
            raise DataError(
                f"classification needs floating-point outputs, the network gives {outputs.dtype}; "
                f"give a network that returns logits, or an objective of your own"
            )
        if outputs.dim() != 2 or targets.dim() != 1 or len(outputs) != len(targets):
            raise DataError(
                f"classification needs outputs (batch, classes) and targets (batch,), got "
                f"{tuple(outputs.shape)} and {tuple(targets.shape)}; give your own objective"
            )
        if targets.is_floating_point() or targets.is_complex():
            raise DataError(f"targets are {targets.dtype}, classification needs integer labels")
        labels = targets.long()
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= outputs.shape[1]:
            raise DataError(
                f"labels reach from {low} to {high}, the network has {outputs.shape[1]} outputs "
                f"(labels 0..{outputs.shape[1] - 1})"
            )
