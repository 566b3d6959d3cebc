"""The score-function gradient against the exact one, and its variance by baseline."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from rlquant.quantizers.rounding import layer_generator
from rlquant.rounding.neighbours import Neighbours, quadratic
from rlquant.rounding.policy import (
    Baseline,
    draw,
    greedy,
    prior_logits,
    score_gradient,
)
from rlquant_experiments.reproduction.assignment.lab import Lab
from rlquant_experiments.reproduction.runs import Measured

BASELINES: Sequence[Baseline] = ("none", "greedy", "leave_one_out")
UP = (0.6, 0.3)
"""Chances of going up of two weights ..."""
LOSSES = ((0.5, 0.2), (0.9, 0.1))
"""... and the loss by whether each does."""
PRIOR = 4.0


def enumerated(baseline: Baseline) -> float:
    """Return how far the expected estimate is from the exact gradient, all outcomes weighed."""
    chance = torch.tensor(UP, dtype=torch.float64)
    logits = torch.logit(chance)
    table = torch.tensor(LOSSES, dtype=torch.float64)
    usual = table[tuple(greedy(logits).long().tolist())]
    outcomes = [torch.tensor(o, dtype=torch.bool) for o in itertools.product((0, 1), repeat=2)]
    expected = torch.zeros(2, dtype=torch.float64)
    for pair in itertools.product(outcomes, repeat=2):  # two samples, as leave-one-out needs
        drawn = torch.stack(pair)
        losses = torch.stack([table[tuple(a.long().tolist())] for a in pair])
        weight = torch.where(drawn, chance, 1 - chance).prod()
        expected += weight * score_gradient(logits, drawn, losses, baseline, usual)
    slope = torch.stack([table[1] - table[0], table[:, 1] - table[:, 0]])
    others = torch.stack([torch.stack([1 - c, c]) for c in chance.flip(0)])
    exact = (slope * others).sum(dim=1) * chance * (1 - chance)
    return float((expected - exact).abs().max())


def exact_gradient(logits: Tensor, between: Neighbours, moments: Tensor) -> Tensor:
    """Return the gradient of the expected error of the layer's outputs by the logits.

    The error is quadratic in the assignment and the weights go up independently, so that its
    expectation is that of the expected weights plus each weight's own variance.

    Args:
        logits: shape `(groups, channels, fan_in)`.
        between: the weights between their neighbours.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
    """
    chance = torch.sigmoid(logits)
    slope = 2 * between.gap * (between.error(chance) @ moments)
    diagonal = moments.diagonal(dim1=1, dim2=2)[:, None, :]
    slope = slope + between.gap.square() * diagonal * (1 - 2 * chance)
    return slope * chance * (1 - chance)


def variances(lab: Lab, bits: int, samples: int, count: int) -> Measured:
    """Return the variance of a layer's gradient by baseline, over the exact one's squared length.

    The layer is the last one, the policy that of the start, the reward each channel's own.
    """
    layer = lab.layers[-1]
    moments = lab.moments[layer]
    between = Neighbours.of(lab.weight(layer), lab.rounded(bits)[layer], moments)
    logits = prior_logits(between, PRIOR)
    length = exact_gradient(logits, between, moments).square().sum()
    found: dict[str, float] = {}
    for baseline in BASELINES:
        draws = layer_generator(lab.seed, "variance")
        estimates = torch.stack(
            [_estimate(between, moments, logits, baseline, samples, draws) for _ in range(count)]
        )
        found[baseline] = float(estimates.var(dim=0).sum() / length)
    return found


def _estimate(
    between: Neighbours,
    moments: Tensor,
    logits: Tensor,
    baseline: Baseline,
    samples: int,
    draws: torch.Generator,
) -> Tensor:
    drawn = draw(logits, samples, draws)
    losses = quadratic(between.error(drawn.float()), moments)
    usual = quadratic(between.error(greedy(logits).float()), moments)
    return score_gradient(logits, drawn, losses, baseline, usual)
