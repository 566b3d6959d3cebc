"""Episodes in every environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import rlquant
from public_calls import given
from rlquant.cost.budget import Budget
from rlquant_envs import (
    LayerwiseQuantization,
    OneDecisionAtATime,
    PointAssignment,
    TabularQuantization,
    TabularVectorQuantization,
)


def _episodes(env: Any, actions: Any) -> Any:
    """Play until the end twice, and return everything that was seen."""
    seen: list[Any] = []
    for seed in (0, 1):
        observation, _ = env.reset(seed=seed)
        seen.append(observation)
        ended = False
        while not ended:
            observation, reward, terminated, truncated, info = env.step(actions())
            seen += [observation, reward, info.get("score")]
            ended = bool(np.any(terminated)) or bool(np.any(truncated))
    return seen


def _layerwise(folder: Path) -> Any:
    env = LayerwiseQuantization(
        given.fresh_problem(), budget=[given.BUDGET, Budget.average_bits(9)]
    )
    return _episodes(env, lambda: np.zeros(env.action_space.shape, dtype=np.int64))


def _one_decision(folder: Path) -> Any:
    env = OneDecisionAtATime(TabularQuantization(given.prepare().table, budget=given.BUDGET))
    return _episodes(env, lambda: 1)


def _tabular_vector(folder: Path) -> Any:
    env = TabularVectorQuantization(given.prepare().table, 3, budget=given.BUDGET)
    return _episodes(env, lambda: np.ones(env.action_space.shape, dtype=np.int64))


def _point_assignment(folder: Path) -> Any:
    toys = given.prepare()
    problem = rlquant.layer_problem(toys.network, toys.train, calibration_samples=64)
    env = PointAssignment(problem)
    return _episodes(env, lambda: np.ones(env.action_space.shape, dtype=np.int8))


CALLS: Mapping[str, Callable[[Path], Any]] = {
    "layerwise environment": _layerwise,
    "one decision environment": _one_decision,
    "tabular vector environment": _tabular_vector,
    "assignment environment": _point_assignment,
}
