"""Made-up tables: always the same, falling with bits, with interactions as strong as asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import SettingsError
from rlquant.testing import random_table
from rlquant.testing.toy_problem import MIXED


def log_losses(groups: int, options: int, **other: Any) -> np.ndarray:
    table = random_table(groups, options, **other)
    return np.log(table.measured.losses.astype(np.float64)).reshape((options,) * groups)


def test_the_same_arguments_give_the_same_table() -> None:
    first, again, other = random_table(seed=3), random_table(seed=3), random_table(seed=4)
    assert np.array_equal(first.measured.losses, again.measured.losses)
    assert first.facts == again.facts
    assert first.fingerprint == again.fingerprint
    assert not np.array_equal(first.measured.losses, other.measured.losses)
    assert first.fingerprint != other.fingerprint


def test_the_loss_falls_with_the_bits_of_each_group() -> None:
    found = log_losses(3, 5, interaction=0.0)
    for axis in range(3):
        assert (np.diff(found, axis=axis) < 0).all()


def test_without_interaction_the_log_loss_is_a_sum_over_the_groups() -> None:
    found = log_losses(3, 4, interaction=0.0)
    rest = found - found[:1] - found[:, :1] + found[:1, :1]
    assert np.abs(rest).max() < 1e-5


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 2)])
def test_neighbours_interact_and_others_do_not(a: int, b: int) -> None:
    found = log_losses(3, 4, interaction=0.5)

    def mixed(first: int, second: int) -> float:
        steps = np.diff(np.diff(found, axis=first), axis=second)
        return float(np.abs(steps).max())

    assert mixed(a, b) > 0.01
    assert mixed(0, 2) < 1e-5


def test_costs_of_the_usual_six_widths_by_hand() -> None:
    table = random_table(2)
    assert table.space.bits == (2, 3, 4, 5, 6, 8)
    facts = table.facts[1]
    assert table.costs.average_bits[1, 5] == 8 * facts.parameters + 16 * 16
    assert table.costs.size_bytes[1, 0] == facts.parameters // 4 + 32 + 8
    assert table.costs.bops[1, 2] == facts.macs * 4 * 32
    problem = TabularProblem(table, Budget.average_bits(3.0))
    assert problem.optimum()[1].average_bits <= 3.0


def test_other_numbers_of_options_and_other_spaces() -> None:
    assert random_table(1, 15).space.bits == tuple(range(2, 17))
    mixed = random_table(2, space=MIXED)
    assert mixed.count == len(MIXED.options()) ** 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"groups": 0},
        {"options": 16},
        {"options": 2.5},
        {"seed": -1},
        {"interaction": -0.1},
        {"interaction": float("nan")},
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(arguments))}="):
        random_table(**arguments)
