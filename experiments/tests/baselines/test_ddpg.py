"""HAQ's agent: what its actions mean, what it remembers, and that it learns."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from rlquant import SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.search.session import Session
from rlquant_experiments.baselines.ddpg import DDPG, Agent, truncated_normal
from rlquant_experiments.baselines.layer_walk import LayerWalk

SPACE = SearchSpace(bits=(2, 3, 4, 8))


def test_the_noise_stays_within_the_actions_and_is_that_of_a_truncated_normal() -> None:
    generator = np.random.default_rng(0)
    for mean in (0.0, 0.3, 1.0):
        drawn = np.array([truncated_normal(mean, 0.5, generator) for _ in range(4000)])
        assert 0 <= drawn.min() <= drawn.max() <= 1
        if mean == 0.0:  # half a normal distribution, cut at two deviations
            assert drawn.mean() == pytest.approx(0.3625, abs=0.015)
    assert np.std([truncated_normal(0.5, 0.01, generator) for _ in range(500)]) < 0.012


@pytest.mark.parametrize(("action", "bits"), [(0, 2), (0.24, 2), (0.26, 3), (0.6, 4), (1, 8)])
def test_an_action_is_a_rank_among_the_options_by_cost(action: float, bits: int) -> None:
    session = Session(ToyProblem(2, 40.0, SPACE), 9)
    actions, wanted = LayerWalk(session).act(lambda observation: action)
    assert actions.tolist() == [action, action]
    assert [session.feasible.options[option].bits for option in wanted] == [bits, bits]


def test_options_and_their_actions_are_each_others_inverse() -> None:
    session = Session(ToyProblem(1, 40.0, MIXED), 9)
    walk = LayerWalk(session)
    for option in range(len(session.feasible.options)):
        action = float(walk.actions_of(np.array([option]))[0])
        assert walk.act(lambda observation, action=action: action)[1].tolist() == [option]


def test_what_was_executed_is_remembered_and_not_what_was_wanted() -> None:
    remembered: list[Any] = []
    problem = ToyProblem(3, 3.0, SPACE)

    def note(agent: Agent, seen: list[Any], executed: np.ndarray, value: float) -> None:
        remembered.append((seen, executed, value))

    with mock.patch.object(Agent, "remember", note):
        result = DDPG(warm_up=99).search(problem, 12, seed=0)
    assert len(remembered) == len(result.history)
    walk = LayerWalk(Session(problem, 9))
    for (seen, executed, value), evaluation in zip(remembered, result.history, strict=True):
        indices = problem.feasible.indices(evaluation.config)
        ranks = np.minimum((executed * 4).astype(int), 3)  # options of this space lie by cost
        assert ranks.tolist() == indices.tolist()
        assert np.array_equal(seen, walk.seen(indices))
        assert value == evaluation.value


def test_the_reward_of_the_end_is_that_of_every_step() -> None:
    agent = Agent(DDPG(), layers=3)
    seen = [np.full_like(agent.memory.observations[0, 0], step / 4) for step in range(4)]
    agent.remember(seen, np.array([0.0, 0.5, 1.0]), -0.7)
    memory = agent.memory
    assert memory.rewards[:3, 0] == pytest.approx([-0.7, -0.7, -0.7])
    assert memory.actions[:3, 0, 0].tolist() == [-1.0, 0.0, 1.0]  # as the actor's tanh has them
    assert memory.dones[:3, 0].tolist() == [0, 0, 1]
    assert memory.next_observations[:2].tolist() == memory.observations[1:3].tolist()
    assert memory.size() == 3


@pytest.mark.parametrize("sign", [1, -1])
def test_the_actor_learns_which_actions_are_rewarded(sign: int) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    settings = DDPG(actor_rate=1e-3, hidden=32)
    agent = Agent(settings, layers=1)
    seen = [np.zeros_like(agent.memory.observations[0, 0])] * 2
    for action in np.random.default_rng(0).random(100):
        agent.remember(seen, np.array([action]), sign * action)
    agent.learn(200)
    acts = agent.noisy(1e-6, np.random.default_rng(0))
    assert sign * (acts(seen[0]) - 0.5) > 0.3


def test_the_noise_falls_over_the_evaluations_and_grows_where_nothing_is_new() -> None:
    agent = DDPG(warm_up=20, noise=0.5, last_noise=0.05)
    assert agent._noise_after(20, 100, 0) == pytest.approx(0.5)
    assert agent._noise_after(60, 100, 0) == pytest.approx(0.5 * 0.1**0.5)
    assert agent._noise_after(100, 100, 0) == pytest.approx(0.05)
    assert agent._noise_after(100, 100, 2) == pytest.approx(0.2)
    assert agent._noise_after(100, 100, 50) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("warm_up", -1),
        ("updates", 0),
        ("hidden", 0),
        ("noise", 0.0),
        ("critic_rate", 0.0),
        ("target_rate", 1.5),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{setting}={value}"):
        DDPG(**{setting: value})
