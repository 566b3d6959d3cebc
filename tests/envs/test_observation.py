"""Every feature of the observation against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rlquant import Budget, SearchSpace, find_layers
from rlquant.layers import ERROR_BITS, LayerFacts
from rlquant.space import HEADS
from rlquant.testing import ToyProblem
from rlquant_envs import FEATURES, LayerwiseQuantization
from rlquant_envs.observation import BUDGET_FEATURES, LAST_CHOICE_FEATURES, LAYER_FEATURES, Observer
from small_networks import NETWORKS, fresh, samples_of

NAMES = list(FEATURES)


def by_name(observation: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, observation.tolist(), strict=True))


def test_the_features_have_one_order_and_a_meaning_each() -> None:
    assert [*LAYER_FEATURES, *BUDGET_FEATURES, *LAST_CHOICE_FEATURES] == NAMES
    assert len(set(NAMES)) == len(NAMES) == 31
    assert [f"error_{bits}_bits" in FEATURES for bits in ERROR_BITS] == [True] * len(ERROR_BITS)
    assert list(LAST_CHOICE_FEATURES) == [f"last_{h}" for h in HEADS if h != "group_size"]
    assert all(FEATURES.values())


def test_layer_features_by_hand() -> None:
    # two layers of 40 and 160 weights; 2 or 4 bits, and a quarter of a bit for float inputs
    problem = ToyProblem(2, 3.0, SearchSpace(bits=(2, 4)))
    first = replace(
        problem.layers[0],
        kind="conv2d",
        shape=(10, 1, 2, 2),
        macs=360,
        has_bias=False,
        normalized=True,
        std=0.3,
        largest=0.6,
        kurtosis=6.0,
        relative_error=(1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 0.0),
    )
    problem.layers = (first, replace(problem.layers[1], macs=40))
    seen = by_name(LayerwiseQuantization(problem).reset(seed=0)[0])
    expected = {
        "position": 0.0,
        "is_linear": 0.0,
        "is_convolution": 1.0,
        "is_transposed": 0.0,
        "is_embedding": 0.0,
        "parameters": math.log2(40) / 24,
        "parameter_share": 40 / 200,
        "mac_share": 360 / 400,
        "fan_in": math.log2(4) / 16,
        "has_bias": 0.0,
        "normalized": 1.0,
        "std": 0.3 / 0.4,
        "peak": 0.5,
        "kurtosis": 0.5,
        "error_2_bits": 1.0,
        "error_3_bits": 5 / 6,
        "error_4_bits": 4 / 6,
        "error_5_bits": 3 / 6,
        "error_6_bits": 2 / 6,
        "error_7_bits": 0.0,
        "error_8_bits": 0.0,
        "cost_share": 80 / 400,
    }
    assert list(expected) == list(LAYER_FEATURES)
    assert {name: seen[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_budget_and_last_choice_features_by_hand() -> None:
    # Weights 40 and 160, costs 40*2+10, 40*4+10 and 160*2+40, 160*4+40: from 450 to 850 units.
    # A limit of 3.25 bits is 650: 200 units of room. The first layer may take 80 of them.
    problem = ToyProblem(2, 3.25, SearchSpace(bits=(2, 4)))
    assert (problem.feasible.smallest, problem.feasible.largest) == (450, 850)
    env = LayerwiseQuantization(problem)
    last = dict.fromkeys(LAST_CHOICE_FEATURES, 0.0)

    seen = by_name(env.reset(seed=0)[0])
    start = {"budget": 0.5, "budget_left": 1.0, "room": 200 / 400, "average_room": 0.5}
    assert {name: seen[name] for name in start} == pytest.approx(start)
    assert {name: seen[name] for name in last} == last

    seen = by_name(env.step(np.array([1]))[0])
    later = {
        "position": 1.0,
        "is_linear": 1.0,
        "parameters": math.log2(160) / 24,
        "fan_in": math.log2(16) / 16,
        "cost_share": 320 / 400,
        "budget": 0.5,
        "budget_left": 120 / 200,
        "room": 120 / 320,
        "average_room": 0.6 / (2 * 0.8),
        **last,
        "last_bits": 1.0,
    }
    assert {name: seen[name] for name in later} == pytest.approx(later)

    seen = by_name(env.step(np.array([1]))[0])  # 4 bits do not fit any more: 2 are taken
    end = {**dict.fromkeys(LAYER_FEATURES, 0.0), "budget": 0.5, **last}
    assert {name: seen[name] for name in end} == pytest.approx(end)


def test_the_last_choice_is_the_executed_one_in_every_head() -> None:
    space = SearchSpace(
        bits=(2, 4, 8), points=("clipped", "affine"), activation_bits=(None, 8, 6, 4, 2)
    )
    env = LayerwiseQuantization(ToyProblem(3, 40.0, space))
    env.reset(seed=0)
    seen = by_name(env.step(np.array([1, 1, 3]))[0])
    last = {name: seen[name] for name in LAST_CHOICE_FEATURES}
    assert last == {
        "last_bits": 0.5,
        "last_rounding": 0.0,
        "last_method": 0.0,
        "last_points": 1.0,
        "last_activation_bits": 0.75,
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_real_layers_of_every_kind_stay_in_range(name: str) -> None:
    problem = ToyProblem(2, 40.0)
    inputs, _ = samples_of(name, 4)
    layers = find_layers(fresh(NETWORKS[name].build), inputs)
    kinds = {facts.kind for facts in layers}
    problem.feasible.decisions = layers[:2]
    observer = Observer(problem)
    rows = [observer.observe(i, problem.feasible.smallest, None) for i in range(3)]
    assert all(((row >= 0) & (row <= 1)).all() for row in rows)
    for facts, row in zip(layers, rows[:2], strict=False):
        seen = by_name(row)
        flags = ("is_linear", "is_convolution", "is_transposed", "is_embedding")
        assert sum(seen[flag] for flag in flags) == 1.0
        assert seen["is_transposed"] == ("transpose" in facts.kind)
    assert kinds


def test_odd_layers_stay_in_range() -> None:
    problem = ToyProblem(2, 40.0)
    odd = LayerFacts("layer0", "linear", (1, 1), 1, 0, has_bias=False)  # one weight, all else zero
    large = replace(odd, name="layer1", shape=(2**13, 2**17), parameters=2**30, kurtosis=1e6)
    problem.feasible.decisions = (
        odd,
        replace(large, std=1e4, largest=1e6, relative_error=(2.0,) * 7),
    )
    observer = Observer(problem)
    for layer in range(3):
        seen = observer.observe(layer, 0, None)
        assert np.isfinite(seen).all()
        assert ((seen >= 0) & (seen <= 1)).all()


@pytest.mark.parametrize("fraction", [0.0, 1.0, 2.0])
def test_the_tightest_and_the_loosest_budget_stay_in_range(fraction: float) -> None:
    problem = ToyProblem(3, 40.0)
    env = LayerwiseQuantization(problem, budget=problem.within(fraction))
    first = by_name(env.reset(seed=0)[0])
    assert first["budget"] == min(fraction, 1.0)
    assert first["budget_left"] == float(fraction > 0)
    for _ in range(3):
        observation = env.step(np.array([3]))[0]
        assert env.observation_space.contains(observation)


def test_observations_are_fresh_arrays() -> None:
    env = LayerwiseQuantization(ToyProblem(3))
    seen = [env.reset(seed=0)[0], *(env.step(np.array([1]))[0] for _ in range(3))]
    seen.append(env.reset(seed=0)[0])
    for i, a in enumerate(seen):
        assert a.dtype == np.float32
        assert not any(np.shares_memory(a, b) for b in seen[i + 1 :])
    assert np.array_equal(seen[0], seen[-1])
    seen[0][:] = 7.0
    assert not np.array_equal(env.reset(seed=0)[0], seen[0])


def test_another_budget_changes_the_budget_features_alone() -> None:
    env = LayerwiseQuantization(ToyProblem(3, 4.0))
    tight = by_name(env.reset(seed=0)[0])
    loose = by_name(env.reset(seed=0, options={"budget": Budget.average_bits(6.0)})[0])
    changed = {name for name in NAMES if tight[name] != loose[name]}
    assert changed == {"budget", "room"}
