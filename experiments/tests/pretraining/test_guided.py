"""Lessons from complete tables: what each option loses, and a policy that learns it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlquant.ambient import seeded
from rlquant.testing import random_table
from rlquant_agents.searchers.dyna_ppo.agent import PPOSettings, answers, make_agent
from rlquant_experiments.pretraining.guided import Lessons, play, teach
from rlquant_experiments.pretraining.training_episodes import (
    MEASURED_WEIGHT,
    WORST,
    SideBySide,
    TrainingTable,
)

PADDED = 5


@pytest.fixture
def members() -> list[TrainingTable]:
    tables = [random_table(2, 3, seed=1), random_table(3, 4, seed=2)]
    return [TrainingTable(table, 2, PADDED, i) for i, table in enumerate(tables)]


def agent(members: list[TrainingTable]):  # type: ignore[no-untyped-def]
    episodes = SideBySide([member.episodes for member in members])
    return make_agent(episodes, 6, 0, PPOSettings(learning_rate=1e-2))


def lessons_of(members: list[TrainingTable], count: int = 8) -> Lessons:
    with seeded(0):
        policy = agent([TrainingTable(random_table(2, 3), 1, PADDED, 0)]).policy
        return play(policy, members, count)


def test_every_step_of_every_episode_is_a_lesson(members: list[TrainingTable]) -> None:
    lessons = lessons_of(members)
    steps = 8 * (2 + 3)
    assert lessons.seen.shape == (steps, members[0].features.size)
    assert lessons.masks.shape == lessons.lost.shape == (steps, PADDED)
    assert lessons.returns.shape == (steps,)
    assert not lessons.masks[:, 4].any()


def test_some_option_loses_nothing_and_none_gains(members: list[TrainingTable]) -> None:
    lessons = lessons_of(members)
    assert ((lessons.lost >= 0) & (lessons.lost <= WORST)).all()
    best = lessons.lost.masked_fill(~lessons.masks, WORST + 1).min(dim=1).values
    assert (best == 0).all()
    assert (lessons.lost[~lessons.masks] == 0).all()


def test_what_options_lose_by_looking_at_all_ends(members: list[TrainingTable]) -> None:
    member = members[0]  # two layers of three options
    member.draw_from(np.random.default_rng(5))
    limits = member.limits(8)
    member.draw_from(np.random.default_rng(5))  # the same ones are drawn again
    lessons = lessons_of([member])
    increases, units = member.increases.reshape(3, 3), member.problem.units().reshape(3, 3)
    for n, limit in enumerate(limits):
        within = np.where(units <= limit, increases, np.inf)
        expected = np.minimum(within.min(axis=1) - within.min(), WORST)
        fits = lessons.masks[n, :3].numpy()
        assert lessons.lost[n, :3].numpy()[fits] == pytest.approx(expected[fits], rel=1e-6)


def test_losses_weigh_more_where_effects_were_measured(members: list[TrainingTable]) -> None:
    member = members[0]
    found = []
    for known in ("nothing", "sensitivities"):
        member.draw_from(np.random.default_rng(5))
        member.know(known)
        found.append(lessons_of([member]).lost[:8])  # of the first layer: nothing is decided
    assert torch.allclose(found[1], MEASURED_WEIGHT * found[0])
    assert found[0].max() > 0


def test_a_policy_learns_what_the_tables_say(members: list[TrainingTable]) -> None:
    """Two tables it may well know by heart: it comes nearer to their optima than the knapsack."""

    def gain(rounds: int) -> float:
        with seeded(0):
            model = agent(members)
            torch.manual_seed(0)
            for _ in range(rounds):
                teach(model.policy, play(model.policy, members, 32), passes=4, entropy=0.01)
            found = []
            for member in members:
                limits = member.limits_at(np.linspace(0.1, 0.7, 20))
                rows = answers(model, member.features, limits, greedy=True)
                found.append(member.reward(rows, limits).mean())
            return float(np.mean(found))

    assert gain(0) == 0.0
    assert gain(25) > 0.01


def test_teaching_says_what_is_lost(members: list[TrainingTable]) -> None:
    with seeded(0):
        model = agent(members)
        lessons = play(model.policy, members, 16)
        lost = [teach(model.policy, lessons, passes=2, entropy=0.0) for _ in range(20)]
    assert 0 <= lost[-1] < lost[0]
