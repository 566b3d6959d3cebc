"""The relaxation: what it is worth, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import torch

from assigned_layers import error, layer, nearest
from rlquant.rounding.adaround import (
    FREE,
    SHARPEST,
    STRETCH,
    WEIGHT,
    _gradient,
    relax,
    undecided_slope,
)
from rlquant.rounding.neighbours import Neighbours, quadratic
from strategies import seeded


def test_most_of_the_error_goes() -> None:
    shares = []
    for seed in range(8):
        weight, moments = layer(seed)
        plain = nearest(weight)
        relaxed = error(weight, relax(weight, plain, moments), moments)
        shares.append(relaxed / error(weight, plain, moments))
    assert max(shares) < 0.6
    assert sum(shares) / 8 < 0.4


def test_it_is_deterministic_and_goes_to_neighbours_alone() -> None:
    weight, moments = layer(3, groups=2)
    plain = nearest(weight)
    before = plain.codes.clone()
    found = relax(weight, plain, moments, steps=50)
    assert torch.equal(found.codes, relax(weight, plain, moments, steps=50).codes)
    assert torch.equal(plain.codes, before)
    between = Neighbours.of(weight, plain, moments)
    step = found.codes.long().reshape(between.lower.shape) - between.lower
    assert set(step.unique().tolist()) <= {0, 1}


def test_the_regulariser_drives_shares_to_the_nearer_end() -> None:
    up = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    assert undecided_slope(up, FREE / 2).tolist() == [0.0] * 5
    slope = undecided_slope(up, 1.0)  # of 1 - (2 up - 1)^2
    assert SHARPEST == 2
    assert slope.tolist() == [4.0, 2.0, 0.0, -2.0, -4.0]
    assert (undecided_slope(up, 0.5).abs() <= 40).all()


def test_the_gradient_is_that_of_the_loss() -> None:
    """Central differences of the error and the regulariser, written out."""
    weight, moments = layer(1)
    weight, moments = weight.double(), moments.double()
    between = Neighbours.of(weight.float(), nearest(weight.float()), moments)
    below, gap = between.below.double(), between.gap.double()
    between = replace(between, below=below, gap=gap, position=between.position.double())
    unit = quadratic(between.error(between.nearest), moments)
    parameter = torch.randn(between.lower.shape, generator=seeded(2), dtype=torch.float64)
    progress = 1.0

    def loss(at: torch.Tensor) -> torch.Tensor:
        up = (torch.sigmoid(at) * (1 + 2 * STRETCH) - STRETCH).clamp(0, 1)
        undecided = (1 - (2 * up - 1).abs() ** SHARPEST).sum()
        return (quadratic(between.error(up), moments) / unit).sum() + WEIGHT * undecided

    gradient = _gradient(parameter, between, moments, unit, progress)
    for index in ((0, 0, 0), (0, 2, 5), (0, 5, 11)):
        step = torch.zeros_like(parameter)
        step[index] = 1e-5
        slope = (loss(parameter + step) - loss(parameter - step)) / 2e-5
        torch.testing.assert_close(gradient[index], slope, rtol=1e-6, atol=1e-8)
