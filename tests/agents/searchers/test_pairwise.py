"""Pairs of layers: what is measured, and what it is good for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlquant import QuantizationConfig, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.pairwise import Pairwise, pairs_that_matter


def test_where_effects_add_up_it_finds_the_exact_optimum_at_once() -> None:
    problem = ToyProblem(4, 4.0)
    result = Pairwise(pair_share=0.0).search(problem, 60, seed=0)
    feasible = [e for e in result.history if e.feasible]
    assert feasible[0].score.loss == pytest.approx(problem.best_loss())


def coupled(config: QuantizationConfig) -> float:
    """Layers 0 and 3 are harmless at two bits alone and ruinous together."""
    low = [choice.bits == 2 for choice in config]
    harm = 0.01 * low[0] + 0.3 * low[1] + 0.3 * low[2] + 0.01 * low[3] + 3.0 * (low[0] and low[3])
    return math.exp(harm)


def test_a_strong_interaction_defeats_the_knapsack_and_not_the_pairs() -> None:
    problem = ToyProblem(4, 3.06, SearchSpace(bits=(2, 4)), loss_of=coupled)
    knapsack = make_searcher("knapsack").search(problem, 15, seed=0)
    pairwise = Pairwise(pair_share=0.3).search(problem, 15, seed=0)
    assert knapsack.score.loss > 2 * problem.best_loss()
    assert pairwise.score.loss == pytest.approx(problem.best_loss())


def test_the_pairs_with_the_largest_product_of_effects_come_first() -> None:
    session = Session(ToyProblem(3, 40.0, SearchSpace(bits=(2, 4))), 9)
    effects = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]])
    found = pairs_that_matter(session, effects, np.array([0, 0, 0]), 3)
    assert [row.tolist() for row in found] == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_what_is_left_is_spent_on_feasible_ones_alone() -> None:
    problem = ToyProblem(3, 4.0)
    result = Pairwise(pair_share=0.25).search(problem, 30, seed=0)
    passed, pairs = 1 + 3 * 3, int(0.25 * (30 - 1 - 9 - 1))
    assert result.stopped in ("evaluations", "exhausted")
    assert all(e.feasible for e in result.history[passed + 1 + pairs :])


@pytest.mark.parametrize(
    ("setting", "value"),
    [("pair_share", 1.5), ("freedom", 0.0), ("interaction", -1.0), ("noise", 0.0)],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{setting}={value}"):
        Pairwise(**{setting: value})
