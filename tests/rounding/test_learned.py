"""The best assignment: never worse than what it is made of, the same again, anywhere asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from assigned_layers import error, layer, nearest
from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.adaround import relax
from rlquant.rounding.coordinate_descent import descend
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.learned import SWEEPS, learn
from rlquant.rounding.output_error import best_per_channel, better_per_channel, channel_errors
from strategies import seeded, seeds


def test_no_channel_is_worse_than_any_other_way_and_most_errors_go() -> None:
    for seed, groups in ((0, 1), (1, 1), (2, 2)):
        weight, moments = layer(seed, groups)
        plain = nearest(weight)
        found = channel_errors(
            learn(weight, plain, moments, seeded(1)).dequantize() - weight, moments
        )
        for way in (feed_back, relax):
            other = descend(weight, way(weight, plain, moments), moments, sweeps=SWEEPS)
            errors = channel_errors(other.dequantize() - weight, moments)
            assert (found <= errors).all()
        assert found.sum() < 0.4 * error(weight, plain, moments)


def test_the_policy_finds_what_the_others_do_not() -> None:
    gained = 0.0
    for seed in range(6):
        weight, moments = layer(seed, fan_in=24)
        plain = nearest(weight)
        ways = [
            descend(weight, way(weight, plain, moments), moments, sweeps=SWEEPS)
            for way in (feed_back, relax)
        ]
        start = best_per_channel(weight, ways, moments)
        found = learn(weight, plain, moments, seeded(seed))
        gained += error(weight, start, moments) - error(weight, found, moments)
    assert gained > 0


def test_it_is_the_same_again_and_follows_its_generator() -> None:
    weight, moments = layer(3, fan_in=40)
    plain = nearest(weight)
    before = plain.codes.clone()
    found = [learn(weight, plain, moments, seeded(seed)).codes for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(plain.codes, before)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_switched_off(context: type) -> None:
    weight, moments = layer(4)
    plain = nearest(weight)
    expected = learn(weight, plain, moments, seeded(1)).codes
    with context():
        assert torch.equal(learn(weight, plain, moments, seeded(1)).codes, expected)


def test_a_constant_group_keeps_its_codes() -> None:
    weight, moments = layer(5)
    weight[2] = 0.0
    plain = nearest(weight)
    found = learn(weight, plain, moments, seeded(1))
    assert torch.equal(found.dequantize()[2], plain.dequantize()[2])


def test_each_channel_takes_its_best_and_of_equals_the_first() -> None:
    weight = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    plain = QuantizedTensor(
        torch.tensor([[0, 1], [0, 0]], dtype=torch.uint8),
        1,
        "stored",
        values=torch.tensor([0.0, 1.0]),
        group_size="tensor",
    )
    other = replace(plain, codes=torch.tensor([[0, 0], [1, 0]], dtype=torch.uint8))
    found = best_per_channel(weight, [plain, other], torch.eye(2)[None])
    assert found.codes.tolist() == [[0, 1], [1, 0]]
    twin = replace(plain, codes=torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8))
    # both codes of a channel are off by one weight: a tie
    tied = best_per_channel(
        torch.tensor([[0.0, 0.0]]),
        [replace(plain, codes=plain.codes[:1]), replace(twin, codes=twin.codes[:1])],
        torch.eye(2)[None],
    )
    assert tied.codes.tolist() == [[0, 1]]


@given(seeds)
@settings(max_examples=20)
def test_the_better_of_two_is_the_best_of_two(seed: int) -> None:
    weight, moments = layer(seed, groups=2)
    plain = nearest(weight)
    draws = torch.randint(4, plain.codes.shape, generator=seeded(seed), dtype=torch.uint8)
    near = torch.rand(len(weight), 1, generator=seeded(seed)) < 0.5
    other = replace(plain, codes=torch.where(near, plain.codes, draws))
    found = better_per_channel(weight, plain, other, moments)
    assert torch.equal(found.codes, best_per_channel(weight, [plain, other], moments).codes)
