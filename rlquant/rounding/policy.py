"""A factored Bernoulli policy over assignments, and the gradients by which it learns.

The future work of Polino et al. 2018: reinforcement learning for which point a weight goes to.
Every weight has a logit for going up; all act at once; what they earn is minus a loss.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rlquant.rounding.neighbours import Neighbours

Baseline = Literal["none", "greedy", "leave_one_out"]


def prior_logits(between: Neighbours, strength: float) -> Tensor:
    """Return logits whose mode is nearest rounding: `strength` times (position - 1/2).

    Args:
        between: the weights between their neighbours.
        strength: above 0; a weight at a point has the logit half of it.
    """
    return strength * (between.position - 0.5)


def draw(logits: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Draw assignments of all weights, bool, shape `(samples, *logits.shape)`."""
    chance = torch.rand((samples, *logits.shape), generator=generator, device=generator.device)
    return chance.to(logits.device) < torch.sigmoid(logits)


def greedy(logits: Tensor) -> Tensor:
    """Return the likeliest assignment, bool; a tie goes down."""
    return logits > 0


def score_gradient(
    logits: Tensor,
    drawn: Tensor,
    losses: Tensor,
    baseline: Baseline = "leave_one_out",
    greedy_losses: Tensor | None = None,
) -> Tensor:
    """Estimate the gradient of the expected loss by the logits; unbiased with each baseline.

    Args:
        logits: shape `(..., weights)`.
        drawn: assignments, bool, shape `(samples, ..., weights)`.
        losses: of each sample, shape `(samples, ...)`; where the loss is a sum of parts that
            depend on a part of the weights each, such as output channels, the part of each.
        baseline: what is subtracted from a sample's loss: nothing, `greedy_losses` (self-critical),
            or the mean of the other samples, of which there must be two or more.
        greedy_losses: of the greedy assignment on the same data, shape `(...)`.

    Source: Williams 1992, "REINFORCE"; Rennie et al. 2017, "Self-critical sequence training";
        Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free".
    """
    advantage = losses
    if baseline == "greedy":
        assert greedy_losses is not None
        advantage = losses - greedy_losses
    if baseline == "leave_one_out":
        count = len(losses)
        advantage = (losses - losses.mean(dim=0)) * (count / (count - 1))
    score = drawn.to(logits.dtype) - torch.sigmoid(logits)
    return (advantage[..., None] * score).mean(dim=0)
