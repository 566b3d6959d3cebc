"""Many episodes at once over a table: each is the episode that the single environment plays."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import Budget, RlquantError, Score, SearchSpace, Table
from rlquant.errors import SettingsError, UnknownNameError
from rlquant.score import REWARDS, WORST_REWARD, log_loss_reward
from rlquant.testing import random_table
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_envs import FEATURES, TABULAR_ID, TabularQuantization, TabularVectorQuantization
from rlquant_envs.batch_rewards import BATCH_REWARDS
from tables import enumerated

ID = f"rlquant_envs:{TABULAR_ID}"
KEEPING = SearchSpace(
    bits=(2, 16), method=("float", "ternary", "post_training"), points=("kmeans", "clipped")
)


def saving(score: Score, reference: Score) -> float:
    """A reward of one's own."""
    return reference.average_bits - score.average_bits - score.loss


def broken(config: Any) -> float:
    return float("inf") if config["layer0"].bits < 4 else 1.0


TABLES: dict[str, Table] = {
    "bits": random_table(4, 5),
    "mixed": random_table(2, space=MIXED),
    "keep": random_table(3, space=KEEPING),
    "one group": random_table(1, 3),
    "one option": random_table(2, 1),
    "broken": enumerated(ToyProblem(2, 40.0, loss_of=broken)),
}


def between(table: Table, quantity: str, fraction: float) -> Budget:
    """A budget: 0 leaves the cheapest configuration only, 1 also the most expensive."""
    make = getattr(Budget, quantity)
    feasible = TabularQuantization(table, budget=make(2.0**40)).problem.feasible
    units = feasible.smallest + fraction * (feasible.largest - feasible.smallest)
    budget: Budget = make(feasible.cost.value(round(units)))
    return budget


@settings(deadline=None, max_examples=80)
@given(
    name=st.sampled_from(sorted(TABLES)),
    quantity=st.sampled_from(["average_bits", "size_bytes", "size_ratio", "bops"]),
    fraction=st.floats(0, 1.3),
    reward=st.sampled_from([*sorted(REWARDS), saving, log_loss_reward]),
    count=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_each_episode_is_that_of_the_single_environment(  # type: ignore[no-untyped-def]
    name: str, quantity: str, fraction: float, reward: Any, count: int, seed: int
):
    table = TABLES[name]
    settings = {"budget": between(table, quantity, fraction), "reward": reward}
    many = TabularVectorQuantization(table, count, **settings)
    single = SyncVectorEnv([partial(TabularQuantization, table, **settings)] * count)
    assert many.action_space == single.action_space
    assert many.observation_space == single.observation_space
    assert many.metadata["autoreset_mode"] is single.metadata["autoreset_mode"]
    many.action_space.seed(seed)
    seen, told = many.reset(seed=seed)
    expected, told_there = single.reset(seed=seed)
    assert seen.tobytes() == expected.tobytes()
    assert told["limit"].tolist() == told_there["limit"].tolist()
    ends = 0
    while ends < 2:  # an episode, the step that begins another one, and that
        assert np.array_equal(many.action_masks(), np.array(single.call("action_masks")))
        actions = many.action_space.sample()
        observations, rewards, ended, truncated, info = many.step(actions)
        there = single.step(actions)
        assert observations.dtype == np.float32
        assert observations.tobytes() == there[0].tobytes()
        assert rewards.dtype == there[1].dtype == np.float64
        np.testing.assert_allclose(rewards, there[1], rtol=1e-14, atol=1e-15)
        assert np.array_equal(ended, there[2])
        assert np.array_equal(truncated, there[3])
        for key in ("option", "repaired", "limit"):
            assert (key in info) is (key in there[4])
            if key in info:
                assert info[key].tolist() == there[4][key].tolist()
                assert info[f"_{key}"].tolist() == there[4][f"_{key}"].tolist()
        if ended.all():
            ends += 1
            scores = there[4]["score"]
            assert info["loss"].tolist() == [score.loss for score in scores]
            assert info["accuracy"].tolist() == [score.accuracy for score in scores]
            feasible = single.envs[0].unwrapped.problem.feasible  # type: ignore[attr-defined]
            configs = [feasible.config(indices) for indices in info["indices"]]
            assert configs == there[4]["config"].tolist()
    single.close()


def test_gymnasium_makes_it_by_name() -> None:
    table = TABLES["bits"]
    keywords: dict[str, Any] = {"num_envs": 3, "vectorization_mode": "vector_entry_point"}
    envs = gymnasium.make_vec(ID, **keywords, table=table, budget=Budget.average_bits(4.0))
    assert isinstance(envs.unwrapped, TabularVectorQuantization)
    assert envs.num_envs == 3
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observations, _ = envs.reset(seed=0)
    assert observations.shape == (3, len(FEATURES))
    assert envs.observation_space.contains(observations)
    envs.close()
    assert envs.closed
    plain = gymnasium.make_vec(ID, num_envs=2, vectorization_mode="sync", table=table)
    assert isinstance(plain, SyncVectorEnv)
    plain.close()


def test_gymnasiums_wrappers_of_vectors_go_around_it() -> None:
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        TabularVectorQuantization(TABLES["bits"], 3)
    )
    envs.reset(seed=0)
    steps = [envs.step(envs.action_space.sample()) for _ in range(4)]
    assert steps[-1][4]["episode"]["l"].tolist() == [4, 4, 4]
    np.testing.assert_allclose(steps[-1][4]["episode"]["r"], steps[-1][1], rtol=1e-6)


def test_all_arrays_are_new_ones() -> None:
    envs = TabularVectorQuantization(TABLES["bits"], 2)
    arrays = [envs.reset()[0]]
    for _ in range(6):
        arrays += [envs.action_masks(), envs.action_masks()]
        *found, info = envs.step(np.ones((2, 1), dtype=np.int64))
        arrays += found
        arrays += [value for key, value in info.items() if not key.startswith("_")]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2))


def test_a_budget_in_the_options_holds_for_one_episode() -> None:
    table = TABLES["bits"]
    usual, tight = between(table, "average_bits", 1.0), between(table, "average_bits", 0.0)
    envs = TabularVectorQuantization(table, 2, budget=usual)
    wide = np.full((2, 1), 4)
    for options, indices in (({"budget": tight}, 0), (None, 4)):
        envs.reset(options=options)
        for _ in range(4):
            info = envs.step(wide)[4]
        assert (info["indices"] == indices).all()
    envs.reset(options={"budget": tight})
    for _ in range(5):
        info = envs.step(wide)[4]
    assert info["limit"].tolist() == [usual.limit, usual.limit]


def test_limits_far_above_everything_are_no_trouble() -> None:
    envs = TabularVectorQuantization(TABLES["bits"], 2, budget=Budget.size_bytes(1e300))
    envs.reset()
    assert envs.action_masks().all()
    assert np.isfinite(envs.step(np.full((2, 1), 4))[0]).all()


def test_every_reward_has_its_form_for_arrays() -> None:
    assert list(BATCH_REWARDS) == list(REWARDS)


def test_losses_that_are_not_finite_give_the_worst_reward() -> None:
    for reward in REWARDS:
        envs = TabularVectorQuantization(
            TABLES["broken"], 2, budget=Budget.average_bits(20.0), reward=reward
        )
        envs.reset()
        for actions in ([[0], [3]], [[0], [0]]):
            rewards = envs.step(np.array(actions))[1]
        assert rewards[0] == WORST_REWARD
        assert rewards[1] > WORST_REWARD


def test_a_step_before_the_first_reset_says_what_to_do() -> None:
    with pytest.raises(RlquantError, match=r"call reset\(\) first"):
        TabularVectorQuantization(TABLES["bits"]).step(np.zeros((1, 1), dtype=np.int64))


@pytest.mark.parametrize("actions", [[0, 0], [[0], [5]], [[-1], [0]], [[0, 0]], [[0]], 0])
def test_actions_outside_the_action_space_are_refused(actions: Any) -> None:
    envs = TabularVectorQuantization(TABLES["bits"], 2)
    envs.reset()
    with pytest.raises(SettingsError, match=r"one option index a head, shape \(2, 1\)"):
        envs.step(np.array(actions))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_envs": 0}, "num_envs=0"),
        ({"render_mode": "human"}, "render_mode='human'"),
        ({"budget": [Budget.average_bits(3.0), Budget.average_bits(4.0)]}, "give one budget"),
        ({"budget": 3.0}, "is no Budget"),
        ({"reward": 3}, "give a name out of"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        TabularVectorQuantization(TABLES["bits"], **arguments)


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown table 'nothing'"):
        TabularVectorQuantization("nothing")
