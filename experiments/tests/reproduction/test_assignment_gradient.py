"""The exact gradient of an assignment, and how much each baseline steadies estimates of it."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from assigned_layers import layer, nearest
from rlquant.rounding.neighbours import Neighbours, quadratic
from rlquant.rounding.policy import draw, greedy, prior_logits, score_gradient
from rlquant_experiments.reproduction.assignment.gradient import BASELINES, exact_gradient
from strategies import seeded


def between_points(seed: int = 0, fan_in: int = 4) -> tuple[Neighbours, Tensor]:
    weight, moments = layer(seed, channels=2, fan_in=fan_in)
    return Neighbours.of(weight, nearest(weight), moments), moments


def test_the_exact_gradient_is_that_of_the_enumerated_expectation() -> None:
    between, moments = between_points()
    logits = torch.randn(between.gap.shape, generator=seeded(1)).double().requires_grad_()
    expected = torch.zeros((), dtype=torch.float64)
    chance = torch.sigmoid(logits)
    for up in product((False, True), repeat=4):
        drawn = torch.tensor(up).expand(between.gap.shape)
        weight = torch.where(drawn, chance, 1 - chance).prod(dim=-1)
        expected = expected + (weight * quadratic(between.error(drawn), moments)).sum()
    (gradient,) = torch.autograd.grad(expected, logits)
    found = exact_gradient(logits.detach().float(), between, moments)
    assert torch.allclose(found.double(), gradient, rtol=1e-4, atol=1e-6)


def test_baselines_steady_the_gradient_and_leave_its_mean() -> None:
    between, moments = between_points(fan_in=12)
    logits = prior_logits(between, 4.0)
    drawn = draw(logits, 8 * 2000, seeded(2))
    losses = quadratic(between.error(drawn.float()), moments)
    usual = quadratic(between.error(greedy(logits).float()), moments)
    exact = exact_gradient(logits, between, moments)
    spread = {}
    for baseline in BASELINES:
        estimates = torch.stack(
            [
                score_gradient(logits, drawn[at : at + 8], losses[at : at + 8], baseline, usual)
                for at in range(0, len(drawn), 8)
            ]
        )
        error = (estimates.mean(dim=0) - exact).norm()
        standard = (estimates.var(dim=0).sum() / len(estimates)).sqrt()
        assert error < 3 * standard
        spread[baseline] = float(estimates.var(dim=0).sum())
    assert spread["leave_one_out"] < spread["greedy"] < spread["none"]
