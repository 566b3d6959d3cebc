"""The relaxation: what it is worth, and what it leaves alone."""

from __future__ import annotations

import torch

from assigned_layers import error, layer, nearest
from rlquant.assignment.neighbours import Neighbours
from rlquant.assignment.relaxation import rectified, relax, undecided


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


def test_shares_reach_both_ends_and_only_they_are_decided() -> None:
    up = rectified(torch.tensor([-9.0, 0.0, 9.0]))
    assert up.tolist() == [0.0, 0.5, 1.0]
    assert undecided(up, 0.1) == 0
    assert undecided(up, 0.5) == 1
    assert undecided(torch.tensor([0.0, 1.0]), 1.0) == 0
