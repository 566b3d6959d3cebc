"""Learned assignments: better than nearest, better from a better start, checked settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from assigned_layers import error, layer, nearest
from rlquant.errors import SettingsError
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.output_error import channel_errors
from rlquant.rounding.reinforce import BestSeen, PolicySettings, learn_assignment
from strategies import seeded

SHORT = PolicySettings(steps=120)


@pytest.mark.parametrize("baseline", ["leave_one_out", "greedy"])
def test_half_of_nearest_roundings_error_goes(baseline: Any) -> None:
    settings = PolicySettings(steps=200, samples=16, baseline=baseline)
    for seed in range(3):
        weight, moments = layer(seed)
        plain = nearest(weight)
        found = learn_assignment(weight, plain, moments, generator=seeded(seed), settings=settings)
        assert error(weight, found, moments) < 0.5 * error(weight, plain, moments)


def test_it_goes_on_from_a_start() -> None:
    begun, learned = [], []
    for seed in range(6):
        weight, moments = layer(seed)
        plain = nearest(weight)
        start = feed_back(weight, plain, moments)
        found = learn_assignment(
            weight, plain, moments, generator=seeded(seed), settings=SHORT, start=start
        )
        begun.append(error(weight, start, moments))
        learned.append(error(weight, found, moments))
    assert sum(learned) < sum(begun)


def test_the_seed_decides_and_nothing_given_is_changed() -> None:
    weight, moments = layer(4, groups=2)
    plain = nearest(weight)
    before, state = plain.codes.clone(), torch.get_rng_state()
    found = [
        learn_assignment(weight, plain, moments, generator=seeded(seed), settings=SHORT).codes
        for seed in (1, 1, 2)
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(plain.codes, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"steps": 0}, "steps"),
        ({"samples": 1}, "samples"),
        ({"baseline": "mean"}, "baseline"),
        ({"rate": -1.0}, "rate"),
        ({"prior": float("nan")}, "prior"),
    ],
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        PolicySettings(**wrong)
    PolicySettings(samples=1, baseline="greedy")


def test_each_channel_keeps_the_best_it_has_seen() -> None:
    up = torch.tensor([[[True, False], [False, False]]])
    seen = BestSeen(up, torch.tensor([[1.0, 0.3]]))
    drawn = torch.tensor([[[[False, True], [True, True]]], [[[True, True], [True, False]]]])
    after = seen.after(drawn, torch.tensor([[[0.8, 0.4]], [[0.6, 0.3]]]))
    assert after.up.tolist() == [[[True, True], [False, False]]]  # a tie keeps what was first
    assert after.losses[0].tolist() == pytest.approx([0.6, 0.3])


def test_it_is_never_worse_than_nearest_rounding_in_any_channel() -> None:
    weight, moments = layer(6)
    plain = nearest(weight)
    settings = PolicySettings(steps=3, rate=9.0)  # far too large
    found = learn_assignment(weight, plain, moments, generator=seeded(0), settings=settings)
    errors = [channel_errors(each.dequantize() - weight, moments) for each in (found, plain)]
    assert (errors[0] <= errors[1]).all()
