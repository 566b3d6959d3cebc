"""Imagined episodes and what is seen in them."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.searchers.dyna_ppo.option_features import (
    MOST,
    OPTION_FEATURES,
    STATE_FEATURES,
    OptionFeatures,
    supported,
)
from rlquant_agents.searchers.dyna_ppo.rollouts import SimulatedEpisodes

OPTION_NAMES = list(OPTION_FEATURES)


def limits_of(problem: ToyProblem, *shares: float) -> np.ndarray:
    feasible = problem.feasible
    room = feasible.largest - feasible.smallest
    return np.array([feasible.smallest + np.floor(share * room) for share in shares])


def play(episodes: SimulatedEpisodes, seed: int) -> list[np.ndarray]:
    """Play one round of episodes with random allowed options; return the rewards of every step."""
    generator = np.random.default_rng(seed)
    episodes.reset()
    rewards = []
    for _ in range(episodes.features.layers):
        masks = episodes.action_masks()
        actions = np.array([generator.choice(np.flatnonzero(mask)) for mask in masks])
        rewards.append(episodes.step(actions)[1])
    return rewards


def test_no_masked_play_breaks_its_limit_and_every_option_of_it_is_reached() -> None:
    problem = ToyProblem(4, 40.0, MIXED)
    features = OptionFeatures(problem)
    limits = limits_of(problem, 0.0, 0.1, 0.5, 1.0)
    episodes = SimulatedEpisodes(
        features, 4, lambda count: limits, lambda rows, _: rows[:, 0] * 0.0
    )
    for seed in range(80):
        play(episodes, seed)
    assert len(episodes.finished) == 80
    costs = features.costs
    for rows, kept in episodes.finished:
        spent = costs[np.arange(4), rows].sum(axis=1) + problem.feasible.cost.fixed
        assert (spent <= kept).all()
    reached = {int(o) for rows, _ in episodes.finished for o in rows[3]}
    assert reached == set(range(features.options))


def test_masks_are_those_of_the_feasible_set() -> None:
    problem = ToyProblem(4, 4.0, MIXED)
    features = OptionFeatures(problem, padded=50)
    limit = float(problem.feasible.limit)
    spent = problem.feasible.cost.fixed
    for layer in range(4):
        mask = features.fits(layer, np.array([float(spent)]), np.array([limit]))[0]
        assert (mask[: features.options] == problem.feasible.allowed(layer, spent)).all()
        assert not mask[features.options :].any()
        spent += int(problem.feasible.costs[layer, np.flatnonzero(mask)[-1]])


def test_rewards_come_at_the_end_from_the_judge() -> None:
    problem = ToyProblem(3, 4.0)
    limit = float(problem.feasible.limit)
    episodes = SimulatedEpisodes(
        OptionFeatures(problem),
        5,
        lambda count: np.full(count, limit),
        lambda rows, limits: -rows.sum(axis=1) + limits,
    )
    *earlier, last = play(episodes, 0)
    assert all((rewards == 0).all() for rewards in earlier)
    rows, limits = episodes.finished[0]
    assert last == pytest.approx(-rows.sum(axis=1) + limits)


def test_shaping_pays_at_once_and_sums_to_the_same_but_for_a_constant() -> None:
    problem = ToyProblem(3, 4.0)
    features = OptionFeatures(problem)
    features.set_effects(np.sort(np.random.default_rng(1).random((3, 4)), axis=1)[:, ::-1].copy())
    limit = float(problem.feasible.limit)

    def total(shaping: bool) -> np.ndarray:
        episodes = SimulatedEpisodes(
            features,
            6,
            lambda count: np.full(count, limit),
            lambda rows, _: rows.sum(axis=1).astype(float),
            shaping=shaping,
        )
        rewards = play(episodes, 4)
        if shaping:  # each step is charged with what it loses, the last one with the judge's too
            assert (np.array(rewards[:-1]) < 1e-5).all()
            assert any((step != 0).any() for step in rewards[:-1])
        return np.sum(rewards, axis=0)

    difference = total(True) - total(False)
    assert difference == pytest.approx(np.full(6, difference[0]), abs=1e-4)


def test_observations_lie_within_their_space_and_say_what_they_are() -> None:
    problem = ToyProblem(4, 40.0, MIXED)
    features = OptionFeatures(problem)
    limits = limits_of(problem, 0.0, 0.3, 1.0)
    spent = np.full(3, float(problem.feasible.cost.fixed))
    for layer in range(5):
        seen = features.observe(layer, spent, limits)
        assert seen.shape == (3, features.size)
        assert seen.dtype == np.float32
        assert (seen >= 0).all()
        assert (seen <= MOST).all()
    first = features.observe(0, spent, limits)
    options = first[:, len(STATE_FEATURES) :].reshape(3, features.options, -1)
    fits = options[:, :, OPTION_NAMES.index("fits")]
    assert (fits == features.fits(0, spent, limits)).all()
    assert (options[:, :, OPTION_NAMES.index("regret")].min(axis=1) < 1e-6).all()
    assert first[:, list(STATE_FEATURES).index("measured")].max() == 0
    features.set_effects(np.zeros((4, features.options)))
    again = features.observe(0, spent, limits)
    assert again[:, list(STATE_FEATURES).index("measured")].min() == 1


def test_the_knapsacks_answers_are_the_best_sums_where_effects_are_far_above_errors() -> None:
    problem = ToyProblem(3, 4.0)
    features = OptionFeatures(problem)
    generator = np.random.default_rng(5)
    effects = np.sort(generator.random((3, 4)), axis=1)[:, ::-1].copy()
    features.set_effects(effects)
    total = supported(effects, features.errors)
    limit = float(problem.feasible.limit)
    row = features.knapsack_answers(np.array([limit]))[0]
    sums = {
        tuple(r): total[np.arange(3), r].sum()
        for r in np.ndindex(4, 4, 4)
        if problem.feasible.fits(np.array(r))
    }
    assert total[np.arange(3), row].sum() == pytest.approx(min(sums.values()))


def test_support_is_a_tenth_of_what_the_errors_say() -> None:
    errors = np.array([[0.4, 0.1, 0.0], [0.8, 0.2, 0.0]])
    effects = 3.0 * errors
    assert supported(effects, errors) == pytest.approx(3.3 * errors)
    assert supported(-effects, errors) == pytest.approx(
        -effects
    )  # errors that help support nothing


def test_what_stable_baselines_asks_of_a_vector() -> None:
    problem = ToyProblem(3, 4.0)
    limit = float(problem.feasible.limit)
    episodes = SimulatedEpisodes(
        OptionFeatures(problem), 2, lambda n: np.full(n, limit), lambda rows, _: rows[:, 0] * 0.0
    )
    assert len(episodes.env_method("action_masks")) == 2
    assert episodes.has_attr("action_masks")
    assert not episodes.has_attr("nothing")
    assert episodes.get_attr("num_envs") == [2, 2]
    episodes.set_attr("rewards", lambda rows, _: rows[:, 0] * 0.0 + 7.0)
    assert play(episodes, 0)[-1] == pytest.approx([7.0, 7.0])
    assert episodes.env_is_wrapped(object) == [False, False]
    episodes.close()
