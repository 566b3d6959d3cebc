"""Environments are copied and pickled as they stand, and play on as the original does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from rlquant import Budget, Score, load_table
from rlquant.testing import ToyProblem
from rlquant_envs import (
    LayerwiseQuantization,
    OneDecisionAtATime,
    TabularQuantization,
    TabularVectorQuantization,
)

NAME = "rlquant_envs:rlquant/LayerwiseQuantization-v0"
BUDGET = Budget.average_bits(3.0)


def negative_loss(score: Score, float_score: Score) -> float:
    return -score.loss


MADE: dict[str, Callable[[], Any]] = {
    "layerwise": lambda: LayerwiseQuantization(ToyProblem(3)),
    "a reward by name": lambda: LayerwiseQuantization(ToyProblem(3), reward="loss"),
    "a reward of one's own": lambda: LayerwiseQuantization(ToyProblem(3), reward=negative_loss),
    "one decision at a time": lambda: OneDecisionAtATime(LayerwiseQuantization(ToyProblem(3))),
    "tabular": lambda: TabularQuantization(load_table("digits-mlp"), budget=BUDGET),
    "tabular vector": lambda: TabularVectorQuantization(
        load_table("digits-mlp"), num_envs=2, budget=BUDGET
    ),
}


def by_pickle(env: Any) -> Any:
    return pickle.loads(pickle.dumps(env))


def played(env: Any) -> list[Any]:
    """Play on, to the end of the episode and into the next."""
    env.action_space.seed(7)
    steps = []
    for _ in range(2):
        observation, reward, done, *_ = env.step(env.action_space.sample())
        steps += [np.asarray(each).tolist() for each in (observation, reward, done)]
    return steps


@pytest.mark.parametrize("copied", [by_pickle, copy.deepcopy], ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("name", MADE)
def test_a_copy_plays_on_as_the_original_does(name: str, copied: Callable[[Any], Any]) -> None:
    env = MADE[name]()
    copied(env)  # before the first episode
    env.reset(seed=3)
    env.step(env.action_space.sample())
    other = copied(env)
    assert played(other) == played(env)
    assert copied(other).reset(seed=5)[0].tolist() == env.reset(seed=5)[0].tolist()


def test_stable_baselines_makes_environments_by_name() -> None:
    envs = make_vec_env(NAME, n_envs=2, env_kwargs={"problem": ToyProblem(3)})
    assert envs.observation_space.shape is not None
    assert envs.reset().shape == (2, *envs.observation_space.shape)


def test_an_agent_of_stable_baselines_makes_its_environment_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_name: list[str] = []

    def make(name: str, **given: Any) -> Any:
        by_name.append(name)
        return LayerwiseQuantization(ToyProblem(3), **given)

    monkeypatch.setattr(gymnasium, "make", make)
    agent = PPO("MlpPolicy", NAME, n_steps=8, batch_size=8)
    assert by_name == [NAME]
    agent.learn(8)
