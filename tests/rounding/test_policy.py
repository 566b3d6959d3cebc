"""The policy's gradients: by enumeration, by hand, and how much each baseline steadies them."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from assigned_layers import layer, nearest
from rlquant.rounding.neighbours import Neighbours
from rlquant.rounding.policy import (
    draw,
    greedy,
    prior_logits,
    score_gradient,
)
from strategies import seeded

CHANCES = torch.tensor([0.6, 0.3], dtype=torch.float64)
LOSSES = {(0, 0): 0.5, (0, 1): 0.2, (1, 0): 0.9, (1, 1): 0.1}
EXACT = [0.06, -0.126]


def outcomes() -> list[tuple[Tensor, float, float]]:
    """Every assignment of two weights, its chance and its loss."""
    found = []
    for up, loss in LOSSES.items():
        drawn = torch.tensor(up, dtype=torch.bool)
        chance = float(torch.where(drawn, CHANCES, 1 - CHANCES).prod())
        found.append((drawn, chance, loss))
    return found


@pytest.mark.parametrize("greedy_loss", [None, 0.9, -3.0])
def test_the_expected_score_gradient_is_the_exact_one(greedy_loss: float | None) -> None:
    logits, total = torch.logit(CHANCES), torch.zeros(2, dtype=torch.float64)
    for drawn, chance, loss in outcomes():
        usual = None if greedy_loss is None else torch.tensor(greedy_loss, dtype=torch.float64)
        total += chance * score_gradient(
            logits,
            drawn[None],
            torch.tensor([loss], dtype=torch.float64),
            "none" if usual is None else "greedy",
            usual,
        )
    assert total.tolist() == pytest.approx(EXACT)


def test_the_mean_of_the_others_is_no_bias_either() -> None:
    logits, total = torch.logit(CHANCES), torch.zeros(2, dtype=torch.float64)
    for pair in product(outcomes(), repeat=2):
        drawn = torch.stack([up for up, _, _ in pair])
        losses = torch.tensor([loss for _, _, loss in pair], dtype=torch.float64)
        total += pair[0][1] * pair[1][1] * score_gradient(logits, drawn, losses)
    assert total.tolist() == pytest.approx(EXACT)


def between_points(seed: int = 0, fan_in: int = 4) -> tuple[Neighbours, Tensor]:
    weight, moments = layer(seed, channels=2, fan_in=fan_in)
    return Neighbours.of(weight, nearest(weight), moments), moments


def test_the_mode_of_the_prior_is_nearest_rounding() -> None:
    between, _ = between_points(3)
    assert torch.equal(greedy(prior_logits(between, 5.0)), between.nearest)


def test_draws_follow_the_logits_and_the_generator() -> None:
    logits = torch.tensor([-2.0, 0.0, 3.0])
    drawn = draw(logits, 20_000, seeded(0))
    assert torch.allclose(drawn.float().mean(dim=0), torch.sigmoid(logits), atol=0.02)
    assert torch.equal(drawn, draw(logits, 20_000, seeded(0)))
