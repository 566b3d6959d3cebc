"""The knapsack solved backwards against looking at every configuration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents.surrogate.knapsack_to_go import KnapsackToGo


def best_sum(effects: np.ndarray, excess: np.ndarray, room: float) -> float:
    layers, options = effects.shape
    rows = np.array(list(itertools.product(range(options), repeat=layers)))
    costs = excess[np.arange(layers), rows].sum(axis=1)
    sums = effects[np.arange(layers), rows].sum(axis=1)
    return float(sums[costs <= room].min())


@settings(deadline=None, max_examples=40)
@given(level=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_worth_and_regrets_are_those_of_brute_force(level: float, seed: int) -> None:
    problem = ToyProblem(3, 40.0, SearchSpace(bits=(2, 3, 4, 6)))
    feasible = problem.feasible
    effects = np.random.default_rng(seed).normal(size=(3, 4)).round(3)
    knapsack = KnapsackToGo(effects, feasible)
    excess = feasible.costs - feasible.costs.min(axis=1, keepdims=True)
    room = np.floor(level * excess.max(axis=1).sum())
    lifted = effects - effects.min(axis=1, keepdims=True)
    assert knapsack.value(0, np.array([room]))[0] == pytest.approx(best_sum(lifted, excess, room))
    regrets, _ = knapsack.regrets(0, np.array([room]))
    for option in range(4):
        if excess[0, option] > room:
            assert regrets[0, option] == np.inf
            continue
        rest = best_sum(lifted[1:], excess[1:], room - excess[0, option])
        lost = lifted[0, option] + rest - best_sum(lifted, excess, room)
        assert (regrets[0, option] > 1e-9) == (lost > 1e-9)
    assert regrets.min() == pytest.approx(0, abs=1e-9)


def test_regrets_are_in_units_of_an_average_step() -> None:
    """Two equal layers whose damage falls by 1 a step: taking a step too few loses one unit."""
    problem = ToyProblem(1, 40.0, SearchSpace(bits=(2, 3, 4, 5)))
    effects = np.array([[3.0, 2.0, 1.0, 0.0]])
    knapsack = KnapsackToGo(effects, problem.feasible)
    room = np.array([2.0 * problem.layers[0].parameters])  # two steps up from 2 bits
    regrets, damages = knapsack.regrets(0, room)
    assert regrets[0, :3] == pytest.approx([2.0, 1.0, 0.0], rel=0.01)
    assert regrets[0, 3] == np.inf
    assert damages[0] == pytest.approx([3.0, 2.0, 1.0, 0.0], rel=0.01)


def test_several_rooms_are_answered_as_one_by_one() -> None:
    problem = ToyProblem(3, 40.0)
    effects = np.random.default_rng(3).random((3, 4))
    knapsack = KnapsackToGo(effects, problem.feasible)
    rooms = np.array([0.0, 50.0, 400.0])
    together, _ = knapsack.regrets(1, rooms)
    for row, room in zip(together, rooms, strict=True):
        assert (row == knapsack.regrets(1, np.array([room]))[0][0]).all()
