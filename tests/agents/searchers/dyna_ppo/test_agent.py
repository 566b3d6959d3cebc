"""The policy: a soft knapsack that learns, whatever the number of options."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlquant.ambient import seeded
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.searchers.dyna_ppo.agent import PPOSettings, answers, make_agent, train
from rlquant_agents.searchers.dyna_ppo.option_features import STATE_FEATURES, OptionFeatures
from rlquant_agents.searchers.dyna_ppo.rollouts import SimulatedEpisodes

STATE_NAMES = list(STATE_FEATURES)


def episodes_of(
    problem: ToyProblem, count: int = 32, padded: int | None = None
) -> SimulatedEpisodes:
    limit = float(problem.feasible.limit)

    def judge(rows: np.ndarray, _: np.ndarray) -> np.ndarray:
        """Against the knapsack: the more of the last option in layer 0, the better."""
        return -(rows[:, 0] == 0).astype(float)

    features = OptionFeatures(problem, padded)
    return SimulatedEpisodes(features, count, lambda n: np.full(n, limit), judge)


def test_a_new_policy_is_the_knapsack() -> None:
    problem = ToyProblem(4, 4.0)
    episodes = episodes_of(problem)
    features = episodes.features
    features.set_effects(np.sort(np.random.default_rng(0).random((4, 4)), axis=1)[:, ::-1].copy())
    with seeded(0):
        model = make_agent(episodes, 4, 0, PPOSettings())
    limits = np.array([float(problem.feasible.limit)])
    assert (
        answers(model, features, limits, greedy=True) == features.knapsack_answers(limits)
    ).all()


def test_training_changes_what_is_taken_and_the_seed_decides_all() -> None:
    problem = ToyProblem(3, 3.0)
    limits = np.full(200, float(problem.feasible.limit))

    def taken(rollouts: int, seed: int) -> np.ndarray:
        episodes = episodes_of(problem)
        with seeded(0):
            model = make_agent(episodes, 3, seed, PPOSettings(learning_rate=1e-2))
            for _ in range(rollouts):
                train(model)
            return answers(model, episodes.features, limits, greedy=False)

    before, after = taken(0, 1), taken(20, 1)
    assert (after[:, 0] == 0).mean() < 0.5 * (before[:, 0] == 0).mean()
    assert (taken(3, 2) == taken(3, 2)).all()
    assert (taken(3, 2) != taken(3, 3)).any()


def test_drawn_answers_keep_every_limit() -> None:
    problem = ToyProblem(4, 40.0, MIXED)
    episodes = episodes_of(problem)
    with seeded(0):
        model = make_agent(episodes, 4, 0, PPOSettings())
        feasible = problem.feasible
        limits = np.linspace(feasible.smallest, feasible.largest, 50).round()
        rows = answers(model, episodes.features, limits, greedy=False)
    spent = feasible.costs[np.arange(4), rows].sum(axis=1) + feasible.cost.fixed
    assert (spent <= limits).all()


def test_parameters_do_not_depend_on_the_numbers_of_options_and_layers() -> None:
    with seeded(0):
        one = make_agent(episodes_of(ToyProblem(2, 4.0)), 2, 0, PPOSettings())
        other = make_agent(episodes_of(ToyProblem(5, 9.0, MIXED)), 5, 0, PPOSettings())
    shapes = {name: value.shape for name, value in one.policy.state_dict().items()}
    assert shapes == {name: value.shape for name, value in other.policy.state_dict().items()}
    other.policy.load_state_dict(one.policy.state_dict())


def test_padding_changes_nothing_of_what_is_taken() -> None:
    problem = ToyProblem(3, 4.0)
    limits = np.array([float(problem.feasible.limit)])
    found = []
    for padded in (None, 40):
        episodes = episodes_of(problem, padded=padded)
        with seeded(0):
            model = make_agent(episodes, 3, 0, PPOSettings())
            with torch.no_grad():
                model.policy.mlp_extractor.score.weight.copy_(
                    torch.linspace(-1, 1, PPOSettings.hidden).unsqueeze(0)
                )
        found.append(answers(model, episodes.features, limits, greedy=True))
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("layers", [1, 3])
def test_a_rollout_is_one_episode_in_each_environment(layers: int) -> None:
    episodes = episodes_of(ToyProblem(layers, 4.0), count=8)
    with seeded(0):
        train(make_agent(episodes, layers, 0, PPOSettings()))
    assert len(episodes.finished) == 1


@pytest.mark.parametrize(("count", "layers"), [(1, 1), (1, 3), (1, 5), (3, 3)])
def test_however_few_steps_there_are_the_policy_stays_finite(count: int, layers: int) -> None:
    episodes = episodes_of(ToyProblem(layers, 4.0), count=count)
    with seeded(0):
        model = make_agent(episodes, layers, 0, PPOSettings(minibatches=4))
        for _ in range(3):
            train(model)
    assert all(bool(torch.isfinite(value).all()) for value in model.policy.state_dict().values())


def test_set_env_begins_new_episodes_so_that_no_observation_is_of_earlier_effects() -> None:
    problem = ToyProblem(3, 4.0)
    episodes = episodes_of(problem, count=4)
    with seeded(0):
        model = make_agent(episodes, 3, 0, PPOSettings())
        train(model)
        episodes.features.set_effects(np.random.default_rng(0).random((3, 4)))
        model.set_env(episodes)
        train(model)
    steps = model.rollout_buffer.observations.reshape(4, 3, -1)  # flattened by environment
    seen = steps[:, 0]
    assert seen[:, STATE_NAMES.index("measured")].min() == 1.0
