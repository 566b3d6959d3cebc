"""Several environments at once, in this process and in others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.vec_env import SubprocVecEnv

from rlquant import Budget, EvaluationSettings, QuantizationProblem, SearchSpace
from small_networks import samples_of, trained

ID = "rlquant_envs:rlquant/LayerwiseQuantization-v0"
LAYERS = 3
ACTIONS = np.array([[0, 1], [3, 0]])
"""One action for each of two environments."""


@pytest.fixture(scope="module")
def problem() -> QuantizationProblem:
    return QuantizationProblem(
        trained("mlp"),
        samples_of("mlp", 64, seed=1),
        samples_of("mlp", 96, seed=2),
        space=SearchSpace(bits=(2, 3, 4, 8), points=("clipped", "kmeans")),
        budget=Budget.average_bits(8.0),
        evaluation=EvaluationSettings(calibration_samples=32),
    )


@pytest.fixture(scope="module")
def expected(problem: QuantizationProblem) -> list[list[float]]:
    """The rewards of each environment's episode, played alone."""
    rewards = []
    for action in ACTIONS:
        env = gymnasium.make(ID, problem=problem)
        env.reset(seed=0)
        rewards.append([float(env.step(action)[1]) for _ in range(LAYERS)])
    return rewards


def makers(problem: QuantizationProblem) -> list[Callable[[], gymnasium.Env]]:
    return [partial(gymnasium.make, ID, problem=problem) for _ in ACTIONS]


@contextmanager
def closing(envs: VectorEnv) -> Iterator[VectorEnv]:
    try:
        yield envs
    finally:
        envs.close()


@pytest.mark.parametrize("vectorise", [SyncVectorEnv, partial(AsyncVectorEnv, context="spawn")])
def test_gymnasium_vectors(
    vectorise: Callable[..., VectorEnv],
    problem: QuantizationProblem,
    expected: list[list[float]],
) -> None:
    with closing(vectorise(makers(problem))) as envs:
        first, _ = envs.reset(seed=5)
        first = first.copy()
        steps = [envs.step(ACTIONS) for _ in range(LAYERS)]
        assert first.shape == (len(ACTIONS), *envs.single_observation_space.shape)  # type: ignore[misc]
        assert pytest.approx(np.array(expected)) == np.array([step[1] for step in steps]).T
        assert steps[-1][2].all()
        score = steps[-1][4]["score"][1]
        assert score.accuracy == problem.evaluate(steps[-1][4]["config"][1]).accuracy
        again = envs.step(ACTIONS)[0]  # the step after the last resets by itself
        assert np.array_equal(again, first)
        masks = np.array(envs.call("action_masks"))
        assert masks.shape == (len(ACTIONS), 6)


def test_processes_of_stable_baselines(
    problem: QuantizationProblem, expected: list[list[float]]
) -> None:
    envs = SubprocVecEnv(makers(problem)[:1], start_method="spawn")
    try:
        first = envs.reset()
        assert get_action_masks(envs).shape == (1, 6)
        steps = [envs.step(ACTIONS[:1]) for _ in range(LAYERS)]
        assert pytest.approx(np.array(expected[:1])) == np.array([step[1] for step in steps]).T
        infos = steps[-1][3]
        assert steps[-1][2].all()
        assert [info["score"] for info in infos] == problem.evaluate_many(
            info["config"] for info in infos
        )
        assert np.array_equal(steps[-1][0], first)
        assert infos[0]["terminal_observation"][0] == 0.0  # position: nothing is left to decide
    finally:
        envs.close()
