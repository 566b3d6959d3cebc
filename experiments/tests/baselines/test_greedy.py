"""Greedy steps by hand, and never better than the knapsack's exact solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_experiments.baselines.greedy import greedy_descent

SPACE = SearchSpace(bits=(2, 4, 8))
WEIGHTS = 40 + 160 + 80


def within(bits: int) -> ToyProblem:
    """Three layers of 40, 160 and 80 weights that share so many bits."""
    problem = ToyProblem(3, 40.0, SPACE)
    floats = WEIGHTS // 4  # what float activations cost in the toy
    return problem.with_budget(type(problem.budget).average_bits((bits + floats) / WEIGHTS))


EFFECTS = np.array([[4.0, 1.0, 0.0], [9.0, 3.2, 0.0], [1.0, 0.2, 0.0]])
"""Harm a bit of the first steps to 4 bits: 1/160, 3.2/640, 0.2/320; the third layer goes first."""


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (8 * 40 + 8 * 160 + 8 * 80, [2, 2, 2]),
        (8 * 40 + 8 * 160 + 4 * 80, [2, 2, 1]),  # 0.2 / 320
        (8 * 40 + 4 * 160 + 4 * 80, [2, 1, 1]),  # then 3.2 / 640, before 0.8 / 160
        (8 * 40 + 4 * 160 + 2 * 80, [2, 1, 0]),  # then 0.8 / 160, before 1.0 / 160
        (4 * 40 + 4 * 160 + 2 * 80, [1, 1, 0]),
    ],
)
def test_the_steps_come_in_the_order_of_harm_for_each_bit_saved(
    bits: int, expected: list[int]
) -> None:
    assert greedy_descent(EFFECTS, within(bits).feasible).tolist() == expected


def test_what_the_last_step_saved_too_much_is_spent_upward() -> None:
    # stepping the large layer down saves more than needed: the small one steps up again
    effects = np.array([[5.0, 0.1, 0.0], [9.0, 0.5, 0.0], [1.0, 0.9, 0.0]])
    problem = within(8 * 40 + 4 * 160 + 8 * 80)
    assert greedy_descent(effects, problem.feasible).tolist() == [2, 1, 2]


@settings(deadline=None, max_examples=40)
@given(layers=st.integers(1, 4), level=st.floats(0, 1.1), seed=st.integers(0, 2**32 - 1))
def test_it_fits_and_is_at_most_as_good_as_the_exact_solution(
    layers: int, level: float, seed: int
) -> None:
    problem = ToyProblem(layers, 40.0, SPACE)
    feasible = problem.with_budget(problem.within(level)).feasible
    effects = np.random.default_rng(seed).normal(size=feasible.costs.shape)
    found, exact = greedy_descent(effects, feasible), solve_knapsack(effects, feasible)
    rows = np.arange(layers)
    assert feasible.fits(found)
    assert effects[rows, found].sum() >= effects[rows, exact].sum() - 1e-6


def test_it_asks_for_the_pass_and_one_more() -> None:
    result = make_searcher("greedy").search(ToyProblem(3, 4.0), 60, seed=0)
    assert result.stopped == "finished"
    assert len(result.history) == 1 + 3 * 3 + 1
    assert result.history[-1].feasible
