"""The knapsack's solution against looking at every configuration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import FeasibleSet, SearchSpace
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.uniform import widest_uniforms
from rlquant_agents.searchers.knapsack import solve_by_price, solve_knapsack


def cheapest_sum(effects: np.ndarray, feasible: FeasibleSet) -> float:
    layers, options = effects.shape
    fitting = (i for i in itertools.product(range(options), repeat=layers) if feasible.fits(i))
    return min(float(effects[np.arange(layers), list(i)].sum()) for i in fitting)


@settings(deadline=None, max_examples=60)
@given(
    layers=st.integers(1, 4),
    mixed=st.booleans(),
    level=st.floats(0, 1.1),
    scale=st.sampled_from([1e-4, 1.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_solution_is_that_of_brute_force(
    layers: int, mixed: bool, level: float, scale: float, seed: int
) -> None:
    space = SearchSpace(bits=(2, 4), method=("post_training", "ternary"), activation_bits=(8, 4))
    problem = ToyProblem(layers, 40.0, space if mixed else SearchSpace(bits=(2, 3, 4, 6)))
    feasible = problem.with_budget(problem.within(level)).feasible
    shape = (layers, len(feasible.options))
    effects = scale * np.random.default_rng(seed).normal(size=shape).round(3)
    solution = solve_knapsack(effects, feasible)
    assert feasible.fits(solution)
    found = float(effects[np.arange(layers), solution].sum())
    best = cheapest_sum(effects, feasible)
    assert found == pytest.approx(best, rel=1e-5, abs=1e-5 * scale)


@pytest.mark.parametrize("level", [0.0, 0.2, 0.5, 1.0])
def test_where_effects_add_up_it_finds_the_optimum(level: float) -> None:
    problem = ToyProblem(3, 40.0, MIXED)
    problem = problem.with_budget(problem.within(level))
    result = make_searcher("knapsack").search(problem, 60, seed=0)
    assert result.score.loss == pytest.approx(problem.best_loss(), rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(layers=st.integers(1, 4), level=st.floats(0, 1.1), seed=st.integers(0, 2**32 - 1))
def test_a_solution_by_price_fits_and_misses_a_layer_s_step_at_most(
    layers: int, level: float, seed: int
) -> None:
    problem = ToyProblem(layers, 40.0, SearchSpace(bits=(2, 3, 4, 6)))
    feasible = problem.with_budget(problem.within(level)).feasible
    effects = np.random.default_rng(seed).normal(size=(layers, 4)).round(3)
    found = solve_by_price(effects, feasible)
    assert feasible.fits(found)
    missed = float(effects[np.arange(layers), found].sum()) - cheapest_sum(effects, feasible)
    assert missed <= np.ptp(effects, axis=1).max() + 1e-9


def many_layers(count: int) -> ToyProblem:
    space = SearchSpace(bits=(2, 3, 4, 8), group_size=("channel", 32))
    generator = np.random.default_rng(0)
    return ToyProblem(count, 3.5, space, sensitivities=(0.1 * generator.random(count)).tolist())


def test_with_many_layers_it_spends_its_evaluations_and_gets_better() -> None:
    losses = []
    for evaluations in (1, 40, 160):
        result = make_searcher("knapsack").search(many_layers(120), evaluations, seed=0)
        assert len(result.history) >= 0.9 * evaluations
        losses.append(result.score.loss)
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("name", ["knapsack", "auto"])
@pytest.mark.parametrize("evaluations", [8, 16])
def test_no_result_is_worse_than_the_widest_uniform_configurations(
    name: str, evaluations: int
) -> None:
    problem = many_layers(40)
    widest = widest_uniforms(problem.feasible)
    assert [{(c.bits, c.group_size) for c in config} for config in widest] == [
        {(3, "channel")},
        {(3, 32)},
    ]
    result = make_searcher(name).search(problem, evaluations, seed=0)
    assert [evaluation.config for evaluation in result.history[:2]] == widest
    assert result.score.loss <= min(problem.loss(config) for config in widest)
