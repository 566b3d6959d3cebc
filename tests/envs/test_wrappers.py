"""One decision at a time: the same configurations, and masks after which nothing is repaired."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

from rlquant import QuantizationConfig, RlquantError, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_envs import FEATURES, LayerwiseQuantization, OneDecisionAtATime

ID = "rlquant_envs:rlquant/LayerwiseQuantization-v0"
SMALL = SearchSpace(bits=(2, 16), method=("post_training", "ternary"), points=("kmeans", "clipped"))


def wrapped(problem: ToyProblem, fraction: float = 1.0) -> OneDecisionAtATime:
    return OneDecisionAtATime(LayerwiseQuantization(problem, budget=problem.within(fraction)))


@pytest.mark.parametrize("space", [MIXED, SMALL, SearchSpace(bits=(4,))])
def test_both_checkers_find_nothing(space: SearchSpace) -> None:
    problem = ToyProblem(2, 40.0, space)
    made = gymnasium.make(ID, problem=problem, budget=problem.within(0.4))
    env = OneDecisionAtATime(made.unwrapped)
    with warnings.catch_warnings():
        # Gymnasium's checker says that it was given a wrapper; that is what is checked here
        warnings.filterwarnings("ignore", "(?s).*different from the unwrapped version")
        check_env(env)
    check_env_of_sb3(env)


def test_a_layer_is_executed_with_its_last_decision() -> None:
    env = wrapped(ToyProblem(2, 40.0, SMALL))
    assert env.action_space == gymnasium.spaces.Discrete(2)
    env.reset(seed=0)
    infos = [env.step(action)[4] for action in (1, 0, 1)]
    assert [sorted(info) for info in infos] == [
        *[["action_mask", "repaired"]] * 2,
        ["action_mask", "limit", "option", "repaired"],
    ]
    (choice,) = env.unwrapped.decided
    assert (choice.bits, choice.points) == (16, "clipped")
    last = [env.step(action) for action in (0, 0, 0)][-1]
    assert last[2]
    assert len(last[4]["config"]) == 2
    assert last[1] != 0.0


def test_the_observation_tells_which_head_is_asked_and_what_was_taken() -> None:
    env = wrapped(ToyProblem(2, 40.0, SMALL))
    parts = [env.reset(seed=0)[0], *(env.step(a)[0] for a in (1, 0, 1))]
    heads = [part[len(FEATURES) : -3].tolist() for part in parts]
    assert heads == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert [part[-3:].tolist() for part in parts] == [[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(parts, 2))


@settings(deadline=None, max_examples=40)
@given(mixed=st.booleans(), fraction=st.floats(0, 1), data=st.data())
def test_allowed_actions_are_never_repaired_and_others_give_way(  # type: ignore[no-untyped-def]
    mixed: bool, fraction: float, data: st.DataObject
):
    problem = ToyProblem(3, 40.0, MIXED if mixed else SMALL)
    env = wrapped(problem, fraction)
    env.reset(seed=0)
    terminated, info = False, {}
    while not terminated:
        mask = env.action_masks()
        assert mask.any()
        action = data.draw(st.integers(0, len(mask) - 1))
        _, _, terminated, _, info = env.step(action)
        assert info["repaired"] is not bool(mask[action])
    assert info["score"].average_bits <= problem.within(fraction).limit


def reachable(env: Any, actions: list[int]) -> set[QuantizationConfig]:
    """Follow every allowed action from a prefix of them."""
    env.reset(seed=0)
    for action in actions:
        _, _, terminated, _, info = env.step(action)
        if terminated:
            return {info["config"]}
    allowed = np.flatnonzero(env.action_masks()).tolist()
    return set().union(*(reachable(env, [*actions, action]) for action in allowed))


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_exactly_the_feasible_configurations_are_reachable(fraction: float) -> None:
    problem = ToyProblem(2, 40.0, SMALL)
    budget = problem.within(fraction)
    feasible = problem.with_budget(budget).feasible
    fitting = {feasible.config(i) for i in problem.everything() if feasible.fits(i)}
    assert reachable(wrapped(problem, fraction), []) == fitting


def test_a_step_outside_an_episode_says_what_to_do() -> None:
    env = wrapped(ToyProblem(1, 40.0, SMALL))
    with pytest.raises(RlquantError, match=r"call reset\(\) first"):
        env.step(0)
    env.reset(seed=0)
    for _ in range(3):
        env.step(0)
    with pytest.raises(RlquantError, match=r"call reset\(\) first"):
        env.step(0)


def test_a_new_episode_forgets_a_layer_half_decided() -> None:
    env = wrapped(ToyProblem(1, 40.0, SMALL))
    env.reset(seed=0)
    env.step(1)
    env.reset(seed=0)
    assert [env.step(0)[2] for _ in range(3)] == [False, False, True]


def test_it_wraps_what_gymnasium_makes() -> None:
    env = OneDecisionAtATime(gymnasium.make(ID, problem=ToyProblem(1, 40.0, SMALL)))
    env.reset(seed=0)
    assert [env.step(0)[2] for _ in range(3)] == [False, False, True]


def test_it_wraps_nothing_else() -> None:
    with pytest.raises(SettingsError, match="wraps LayerwiseQuantization, not CartPoleEnv"):
        OneDecisionAtATime(gymnasium.make("CartPole-v1"))
