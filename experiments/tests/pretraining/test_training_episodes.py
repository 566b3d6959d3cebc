"""Training episodes on complete tables: rewards, effects and losses against hand-made sums."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from rlquant import Table
from rlquant.testing import random_table
from rlquant_experiments.pretraining.training_episodes import (
    KNOWING,
    MEASURED_WEIGHT,
    WORST,
    SideBySide,
    TrainingTable,
)


@pytest.fixture(scope="module")
def table() -> Table:
    return random_table(3, 4, interaction=1.0, seed=3)


def loss(table: Table, row: tuple[int, ...]) -> float:
    return math.log(float(table.measured.losses[table.index_of(row)]))


def spent(member: TrainingTable, row: tuple[int, ...]) -> int:
    return member.problem.feasible.spent(row)


def rows_of(table: Table) -> list[tuple[int, ...]]:
    return list(itertools.product(range(len(table.options)), repeat=len(table.facts)))


def test_sensitivities_change_one_layer_of_the_widest(table: Table) -> None:
    effects = TrainingTable(table, 1, 4, 0).sensitivities()
    assert effects.shape == (3, 4)
    assert effects[1, 0] == pytest.approx(loss(table, (3, 0, 3)) - loss(table, (3, 3, 3)))
    assert effects[2, 2] == pytest.approx(loss(table, (3, 3, 2)) - loss(table, (3, 3, 3)))
    assert (effects[:, 3] == 0).all()


def test_neighbours_surround_what_nothing_cheaper_is_as_good_as(table: Table) -> None:
    member = TrainingTable(table, 1, 4, 0)
    good = {
        row
        for row in rows_of(table)
        if all(
            loss(table, other) > loss(table, row)
            for other in rows_of(table)
            if spent(member, other) < spent(member, row)
        )
    }
    for _ in range(20):
        member.know("neighbours")
        zero = np.argwhere(member.known_effects == 0)
        bases = itertools.product(*(zero[zero[:, 0] == layer, 1] for layer in range(3)))
        base = next(b for b in bases if tuple(map(int, b)) in good)
        changed = (int(base[0]), (int(base[1]) + 1) % 4, int(base[2]))
        expected = loss(table, changed) - loss(table, tuple(map(int, base)))  # type: ignore[arg-type]
        assert member.known_effects[1, changed[1]] == pytest.approx(expected)


def test_the_reward_is_paired_with_the_knapsacks_answer(table: Table) -> None:
    member = TrainingTable(table, 1, 4, 0)
    member.know("sensitivities")
    limits = member.limits_at(np.array([0.3, 0.6]))
    plain = member.features.knapsack_answers(limits)
    assert (member.reward(plain, limits) == 0).all()
    rows = np.array([(0, 1, 2), (1, 0, 0)])
    expected = [
        loss(table, tuple(plain[i].tolist())) - loss(table, tuple(rows[i].tolist())) for i in (0, 1)
    ]
    assert member.reward(rows, limits) == pytest.approx(np.clip(expected, -WORST, WORST))
    assert member.pay(rows, limits) == pytest.approx(MEASURED_WEIGHT * member.reward(rows, limits))
    member.know("nothing")
    assert (member.pay(rows, limits) == member.reward(rows, limits)).all()


def test_the_exact_knapsack_by_looking_at_everything(table: Table) -> None:
    member = TrainingTable(table, 1, 4, 0)
    for known in KNOWING:
        member.know(known)
        effects = member.known_effects
        limits = member.limits_at(np.linspace(0, 1, 7))
        for limit, increase in zip(limits, member.knapsack_increases(limits), strict=True):
            fitting = [row for row in rows_of(table) if spent(member, row) <= limit]
            best = min(fitting, key=lambda row: effects[np.arange(3), row].sum())
            assert increase == pytest.approx(loss(table, best))


def test_losses_ahead_are_the_best_that_a_beginning_can_come_to(table: Table) -> None:
    member = TrainingTable(table, 1, 4, 0)
    limits = member.limits_at(np.array([0.2, 0.5]))
    ahead = member.losses_ahead(limits)
    assert [part.shape for part in ahead] == [(2, 1), (2, 4), (2, 16), (2, 64)]
    for n, limit in enumerate(limits):
        for beginning in itertools.product(range(4), repeat=2):
            ends = [
                loss(table, row)
                for row in rows_of(table)
                if row[:2] == beginning and spent(member, row) <= limit
            ]
            number = 4 * beginning[0] + beginning[1]
            assert ahead[2][n, number] == pytest.approx(min(ends, default=math.inf))


def test_limits_lie_between_the_cheapest_and_the_most_expensive(table: Table) -> None:
    member = TrainingTable(table, 1, 4, 0)
    limits, feasible = member.limits(200), member.problem.feasible
    assert ((feasible.smallest <= limits) & (limits <= feasible.largest)).all()
    assert (limits == np.floor(limits)).all()
    assert len(set(limits.tolist())) > 50


def test_everything_that_may_be_known_is_drawn(table: Table) -> None:
    member = TrainingTable(table, 1, 4, 0)
    seen = set()
    for _ in range(40):
        member.learn_anew()
        seen.add(member.known)
    assert seen == set(KNOWING)


def test_the_generator_decides_what_is_drawn(table: Table) -> None:
    member = TrainingTable(table, 1, 4, 0)
    member.draw_from(np.random.default_rng(5))
    first = member.limits(5)
    member.draw_from(np.random.default_rng(5))
    assert (member.limits(5) == first).all()


def test_side_by_side_is_its_parts(table: Table) -> None:
    tables = [table, random_table(4, 3, seed=1)]

    def members() -> list[TrainingTable]:
        return [TrainingTable(each, 2 + i, 5, i) for i, each in enumerate(tables)]

    alone = [member.episodes for member in members()]
    together = SideBySide([member.episodes for member in members()])
    assert together.num_envs == 5
    assert (together.reset() == np.concatenate([part.reset() for part in alone])).all()
    generator = np.random.default_rng(0)
    for _ in range(12):  # four episodes of three steps, three of four
        masks = [part.action_masks() for part in alone]
        assert (together.action_masks() == np.concatenate(masks)).all()
        taken = [generator.choice(np.flatnonzero(mask)) for mask in np.concatenate(masks)]
        parts = np.split(np.array(taken), [2])
        stepped = [part.step(own) for part, own in zip(alone, parts, strict=True)]
        seen, rewards, ended, infos = together.step(np.array(taken))
        assert (seen == np.concatenate([step[0] for step in stepped])).all()
        assert (rewards == np.concatenate([step[1] for step in stepped])).all()
        assert (ended == np.concatenate([step[2] for step in stepped])).all()
        assert infos == [{}] * 5
