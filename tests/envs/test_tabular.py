"""The environment over a table: the layerwise one's observations, masks, rewards and infos."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

from rlquant import Budget, LatencyTable, Problem, Score, SearchSpace, Table, TabularProblem
from rlquant.errors import BudgetError, SettingsError, StorageError, UnknownNameError
from rlquant.score import REWARDS, WORST_REWARD
from rlquant.tabular.table_file import write_table
from rlquant.testing import random_table
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_envs import TABULAR_ID, LayerwiseQuantization, OneDecisionAtATime, TabularQuantization
from tables import enumerated, grouped_problem, live_table

ID = f"rlquant_envs:{TABULAR_ID}"
KEEPING = SearchSpace(
    bits=(2, 16), method=("float", "ternary", "post_training"), points=("kmeans", "clipped")
)


def toy(space: SearchSpace, layers: int = 2) -> tuple[Problem, Table]:
    problem = ToyProblem(layers, 40.0, space)
    return problem, enumerated(problem)


PAIRS: dict[str, tuple[Problem, Table]] = {
    "bits": toy(SearchSpace(bits=(2, 3, 8)), 4),
    "mixed": toy(MIXED),
    "keep": toy(KEEPING, 3),
    "one": toy(SearchSpace(bits=(4,))),
    "live": (grouped_problem(), live_table()),
}
"""A problem, and the table of all that it answers."""


def between(problem: Problem, fraction: float) -> Budget:
    """A budget: 0 leaves the cheapest configuration only, 1 also the most expensive."""
    feasible = problem.with_budget(Budget.average_bits(100.0)).feasible
    units = feasible.smallest + fraction * (feasible.largest - feasible.smallest)
    return Budget.average_bits(feasible.cost.value(round(units)))


def known(name: str, score: Score) -> Score:
    """What the table says of a score: the toy problem's files are none of the library's."""
    if name == "live":
        return replace(score, loss=float(np.float32(score.loss)))
    return replace(
        score,
        loss=float(np.float32(score.loss)),
        accuracy=round(score.accuracy * score.samples) / score.samples,
        size_bytes=0,
        size_ratio=0.0,
    )


@pytest.mark.parametrize("name", PAIRS)
def test_both_checkers_find_nothing(name: str) -> None:
    problem, table = PAIRS[name]
    env = gymnasium.make(ID, table=table, budget=between(problem, 0.5))
    check_env(env.unwrapped)
    check_env_of_sb3(env.unwrapped)
    check_env_of_sb3(env)


@settings(deadline=None, max_examples=80)
@given(
    name=st.sampled_from(sorted(PAIRS)),
    reward=st.sampled_from(sorted(REWARDS)),
    fraction=st.floats(0, 1.3),
    data=st.data(),
)
def test_it_is_the_environment_over_the_problem_that_was_enumerated(  # type: ignore[no-untyped-def]
    name: str, reward: str, fraction: float, data: st.DataObject
):
    problem, table = PAIRS[name]
    budget = between(problem, fraction)
    live = LayerwiseQuantization(problem, budget=budget, reward=reward)
    env = TabularQuantization(table, budget=budget, reward=reward)
    assert env.action_space == live.action_space
    assert env.observation_space == live.observation_space
    seen, expected = env.reset(seed=1), live.reset(seed=1)
    assert seen[0].tobytes() == expected[0].tobytes()
    assert seen[1]["limit"] == expected[1]["limit"]
    ended = False
    while not ended:
        assert env.action_masks().tolist() == live.action_masks().tolist()
        action = np.array(data.draw(st.sampled_from(problem.space.actions.tolist())))
        observation, gained, ended, truncated, info = env.step(action)
        there = live.step(action)
        assert observation.tobytes() == there[0].tobytes()
        assert (ended, truncated) == there[2:4]
        if ended:
            score, live_score = info.pop("score"), there[4].pop("score")
            if name != "live":
                score = replace(score, size_bytes=0, size_ratio=0.0)
            assert score == known(name, live_score)
            tolerance = 0.5 / score.samples if reward == "accuracy" else 1e-6
            assert gained == pytest.approx(there[1], rel=1e-6, abs=tolerance)
        else:
            assert gained == there[1] == 0.0
        assert info.pop("action_mask").tolist() == there[4].pop("action_mask").tolist()
        assert info == there[4]
    assert env.action_masks().tolist() == live.action_masks().tolist()


def test_observations_and_masks_are_always_new_arrays() -> None:
    env = TabularQuantization(random_table(4))
    arrays = []
    for _ in range(2):
        arrays.append(env.reset()[0])
        for _ in range(4):
            arrays += [env.action_masks(), env.action_masks(), env.step(np.array([5]))[0]]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2))
    before = env.reset()[0].copy()
    for array in arrays:
        array[:] = 1
    assert np.array_equal(env.reset()[0], before)


def test_a_table_is_given_by_name_path_or_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlquant.tabular.shipped.FOLDER", tmp_path)
    table = random_table(2, 3)
    write_table(table, tmp_path / "mine.rlt")
    for name in ("mine", tmp_path / "mine.rlt", str(tmp_path / "mine.rlt"), table):
        env = gymnasium.make(ID, table=name)
        problem = env.unwrapped.problem  # type: ignore[attr-defined]
        assert isinstance(problem, TabularProblem)
        assert problem.table.count == 9
        assert problem.budget == Budget.average_bits(3.0)
        assert (problem.table is table) is (name is table)


def test_each_of_several_budgets_is_kept() -> None:
    budgets = [Budget.average_bits(2.5), Budget.size_ratio(0.1), Budget.bops(10**9)]
    env = TabularQuantization(random_table(3), budget=budgets)
    drawn = set()
    for seed in range(12):
        env.reset(seed=seed)
        budget = env.problem.budget
        drawn.add(budget)
        steps = [env.step(np.array([5])) for _ in range(3)]
        score = steps[-1][4]["score"]
        assert getattr(score, budget.quantity) <= budget.limit
    assert drawn == set(budgets)


def test_a_loss_that_is_not_finite_gives_the_worst_reward() -> None:
    table = enumerated(ToyProblem(1, loss_of=lambda config: float("nan")))
    env = TabularQuantization(table, budget=Budget.average_bits(20.0))
    env.reset()
    assert env.step(np.array([0]))[1] == WORST_REWARD


def test_one_decision_at_a_time_goes_around_it() -> None:
    env = OneDecisionAtATime(gymnasium.make(ID, table=PAIRS["mixed"][1]))
    env.reset(seed=0)
    for _ in range(10):
        action = int(np.flatnonzero(env.action_masks())[0])
        *_, terminated, _, info = env.step(action)
    assert terminated
    assert not info["repaired"]


def test_an_agent_with_masks_learns_on_it() -> None:
    env = gymnasium.make(ID, table=random_table(3))
    agent = MaskablePPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0)
    agent.learn(64)
    assert agent.num_timesteps == 64


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    table = random_table(2)
    with pytest.raises(UnknownNameError, match="unknown table 'no such table'"):
        TabularQuantization("no such table")
    with pytest.raises(StorageError, match="cannot be read"):
        TabularQuantization(tmp_path / "nothing.rlt")
    with pytest.raises(SettingsError, match="give a name out of"):
        TabularQuantization(3)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"budget=3\.0 is no Budget"):
        TabularQuantization(table, budget=3.0)  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match="smallest reachable"):
        TabularQuantization(table, budget=Budget.average_bits(1.0))
    with pytest.raises(BudgetError, match="a table holds no latencies"):
        TabularQuantization(table, budget=Budget.latency(1.0, LatencyTable({})))
    with pytest.raises(UnknownNameError, match="did you mean 'log_loss'"):
        TabularQuantization(table, reward="logloss")
    with pytest.raises(SettingsError, match="render_mode='video', use one of"):
        TabularQuantization(table, render_mode="video")


def test_a_search_asks_a_table_like_any_other_problem() -> None:
    """Environments over a session, which has no table to look up, ask by configuration."""
    problem = TabularProblem(random_table(3), Budget.average_bits(3.0))
    result = make_searcher("masked-ppo").search(problem, 12, seed=0)
    best = problem.optimum()[1].loss
    assert best <= result.score.loss
    assert result.score == problem.evaluate(result.best)


def infos_of(env: Any) -> list[dict[str, Any]]:
    env.reset(seed=0)
    infos = [env.step(np.array([2]))[4] for _ in range(3)]
    return [info | {"action_mask": info["action_mask"].tolist()} for info in infos]


def test_what_it_tells_is_not_shared_between_episodes() -> None:
    env = TabularQuantization(random_table(3))
    first, again = infos_of(env), infos_of(env)
    assert first == again
    first[-1]["option"] = None
    assert infos_of(env) == again
