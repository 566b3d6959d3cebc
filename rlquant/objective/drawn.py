"""Random functions of outputs with the curvature of a loss; see `protocols.Curved`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def loss_of_drawn_classes(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Return the summed cross-entropy of one class for each row, drawn from its own softmax.

    The covariance of its gradient is the Fisher information of the row, which is the Hessian of the
    cross-entropy and, at the float outputs, of the Kullback-Leibler divergence.

    Args:
        logits: shape `(rows, classes)`.
        generator: on the CPU.
    """
    chances = logits.detach().softmax(dim=1).cpu()
    drawn = torch.multinomial(chances, 1, generator=generator)[:, 0].to(logits.device)
    return functional.cross_entropy(logits, drawn, reduction="sum")


def loss_of_drawn_errors(outputs: Tensor, scale: Tensor, generator: torch.Generator) -> Tensor:
    """Return the summed product of outputs with normal draws; its Hessian is scale^2 I.

    Args:
        outputs: shape `(rows, features)`.
        scale: standard deviation of the draws, shape `(rows, 1)`.
        generator: on the CPU.
    """
    drawn = torch.randn(outputs.shape, generator=generator, dtype=torch.float32)
    return (outputs * drawn.to(outputs) * scale.detach()).sum()
