"""Parts of `auto` as searchers."""

from __future__ import annotations

import pytest

from problems import problem
from rlquant import Budget, QuantizationProblem, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents import Session, make_searcher, search_problem
from rlquant_agents.searchers.knapsack import solve_knapsack
from small_networks import samples_of, trained


def small() -> QuantizationProblem:
    space = SearchSpace(bits=(1, 2, 3, 4, 5, 6, 7, 8), points=("symmetric",))
    data = samples_of("mlp", 128, seed=2)
    budget = Budget.average_bits(5.0)
    return problem("mlp", trained("mlp"), space=space, budget=budget, validation_data=data)


def test_the_first_answer_is_the_knapsack_of_expected_increases() -> None:
    live = small()
    result = search_problem(live, searcher="auto-first-answer", evaluations=20)
    increases = Session(live, 20).expected_increases()
    assert increases is not None
    solution = solve_knapsack(increases, live.feasible)
    assert [e.config for e in result.history] == [live.feasible.config(solution)]


def test_without_increases_there_is_no_first_answer() -> None:
    with pytest.raises(SettingsError, match="needs expected increases"):
        search_problem(ToyProblem(3), searcher="auto-first-answer", evaluations=20)


def test_a_race_is_on_an_eighth_of_the_tokens() -> None:
    result = search_problem(small(), searcher="auto-racing", evaluations=12)
    assert any("raced on few of 128 tokens" in note for note in result.notes)
    assert any(" on 16;" in note for note in result.notes)


def test_a_problem_without_tokens_is_refused() -> None:
    with pytest.raises(SettingsError, match="is not evaluated on tokens"):
        search_problem(ToyProblem(3), searcher="auto-racing", evaluations=5)


def test_a_fresh_policy_searches_as_dyna_ppo_does() -> None:
    toy = ToyProblem(7, 4.0)
    fresh = make_searcher("dyna-ppo-fresh").search(toy, 16, seed=3)
    same = make_searcher("dyna-ppo", agent="fresh").search(toy, 16, seed=3)
    other = make_searcher("dyna-ppo").search(toy, 16, seed=3)
    assert [e.config for e in fresh.history] == [e.config for e in same.history]
    assert [e.config for e in fresh.history] != [e.config for e in other.history]
