"""All vectors within a budget, and different ones at random."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant.probing.feasible_rows import different_rows, every_row
from rlquant.testing import ToyProblem


def fitting(problem: ToyProblem) -> list[tuple[int, ...]]:
    return [row for row in problem.everything() if problem.feasible.fits(row)]


@pytest.mark.parametrize("part", [7, 100_000])
def test_every_row_is_what_fits(part: int) -> None:
    problem = ToyProblem(layers=4, average_bits=4.0)
    found = [tuple(row) for rows in every_row(problem.feasible, part) for row in rows.tolist()]
    assert found == fitting(problem)


def test_drawn_rows_differ_and_fit_and_depend_on_the_seed_alone() -> None:
    feasible = ToyProblem(layers=4, average_bits=4.0).feasible
    rows, complete = different_rows(feasible, 40, seed=3)
    assert not complete
    assert len({tuple(row) for row in rows.tolist()}) == 40
    assert all(feasible.fits(row) for row in rows)
    assert np.array_equal(rows, different_rows(feasible, 40, seed=3)[0])
    assert not np.array_equal(rows, different_rows(feasible, 40, seed=4)[0])


def test_a_small_budget_is_listed_completely() -> None:
    problem = ToyProblem(layers=3)
    problem = problem.with_budget(problem.within(0.2))
    expected = fitting(problem)
    assert 1 < len(expected) < 30
    rows, complete = different_rows(problem.feasible, 30, seed=0)
    assert complete
    assert [tuple(row) for row in rows.tolist()] == expected
