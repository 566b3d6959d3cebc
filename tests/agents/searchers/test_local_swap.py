"""Local swaps: the neighbours of a place, and getting better than the knapsack."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import QuantizationConfig, SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers import local_swap
from rlquant_agents.searchers.local_swap import neighbours


@settings(deadline=None, max_examples=50)
@given(
    layers=st.integers(1, 4),
    level=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_neighbours_are_all_that_fits_one_or_two_layers_away(
    layers: int, level: float, seed: int
) -> None:
    problem = ToyProblem(layers, 40.0, SearchSpace(bits=(2, 4, 8)))
    problem = problem.with_budget(problem.within(level))
    generator = np.random.default_rng(seed)
    effects = generator.normal(size=(layers, 3))
    place = problem.feasible.sample(generator)
    found = [tuple(n.tolist()) for n in neighbours(Session(problem, 9), effects, place)]
    expected = {
        indices
        for indices in problem.everything()
        if 1 <= sum(np.array(indices) != place) <= 2 and problem.feasible.fits(indices)
    }
    assert len(found) == len(expected)
    assert set(found) == expected
    predicted = [effects[np.arange(layers), list(indices)].sum() for indices in found]
    assert predicted == pytest.approx(sorted(predicted))


def test_of_very_many_neighbours_the_best_predicted_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session(ToyProblem(4, 40.0), 9)
    effects = np.random.default_rng(0).normal(size=(4, 4))
    place = np.zeros(4, dtype=np.int64)
    everything = neighbours(session, effects, place)
    monkeypatch.setattr(local_swap, "MOST_NEIGHBOURS", 7)
    few = neighbours(session, effects, place)
    assert [n.tolist() for n in few] == [n.tolist() for n in everything[:7]]


def entangled(config: QuantizationConfig) -> float:
    """A loss whose effects do not add up: neighbouring layers want the same bits."""
    bits = [choice.bits for choice in config]
    apart = sum(abs(a - b) for a, b in itertools.pairwise(bits))
    return math.exp(0.1 * apart - 0.05 * sum(bits) / len(bits) + 0.3 * (bits[0] == 8))


def test_it_gets_better_where_effects_do_not_add_up() -> None:
    problem = ToyProblem(4, 5.0, loss_of=entangled)
    knapsack = make_searcher("knapsack").search(problem, 60, seed=0)
    swaps = make_searcher("local-swap").search(problem, 60, seed=0)
    assert knapsack.history[-1].score.loss > 1.02 * problem.best_loss()
    assert swaps.score.loss == pytest.approx(problem.best_loss())
    assert knapsack.history[-1].config in [evaluation.config for evaluation in swaps.history]


def test_stuck_on_a_hill_it_shakes_and_goes_on() -> None:
    def hills(config: QuantizationConfig) -> float:
        """The one best configuration is three layers away from the second best."""
        bits = tuple(choice.bits for choice in config)
        return 0.1 if bits == (4, 4, 4, 2) else 1.0 + 0.01 * sum(b != 2 for b in bits)

    problem = ToyProblem(4, 40.0, SearchSpace(bits=(2, 4)), loss_of=hills)
    result = make_searcher("local-swap", tries=3).search(problem, 16, seed=0)
    assert result.score.loss == 0.1


def test_the_seed_decides_where_it_goes_once_it_is_stuck() -> None:
    first, again, other = (
        [e.config for e in make_searcher("local-swap").search(ToyProblem(4), 60, seed=seed).history]
        for seed in (5, 5, 6)
    )
    assert first == again != other


def test_a_space_that_is_used_up_ends_it() -> None:
    problem = ToyProblem(2, 4.0, SearchSpace(bits=(2, 3, 4)))
    result = make_searcher("local-swap").search(problem, 500, seed=0)
    assert result.stopped == "exhausted"
    assert sum(e.feasible for e in result.history) == problem.feasible.count()
