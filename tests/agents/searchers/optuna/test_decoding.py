"""Suggested numbers: always within the budget, and back again."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.optuna.decoding import DECODERS, ShrunkRanks
from rlquant_agents.searchers.optuna.search import TPE


def limited(level: float, space: SearchSpace = MIXED, layers: int = 3) -> Session:
    problem = ToyProblem(layers, 40.0, space)
    return Session(problem.with_budget(problem.within(level)), 9)


@settings(deadline=None, max_examples=40)
@given(
    decoding=st.sampled_from(sorted(DECODERS)),
    level=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_feasible_configuration_has_numbers_that_decode_to_it(
    decoding: str, level: float, seed: int
) -> None:
    session = limited(level)
    decoder = DECODERS[decoding](session)
    indices = session.feasible.sample(np.random.default_rng(seed))
    trial = optuna.trial.FixedTrial(dict(decoder.parameters(indices)))
    assert decoder.suggest(trial).tolist() == indices.tolist()


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    level=st.floats(0, 1),
)
def test_numbers_shrink_together_and_no_more_than_needed(
    numbers: list[float], level: float
) -> None:
    session = limited(level, SearchSpace(bits=(2, 3, 4, 8)))
    feasible = session.feasible
    given = np.array(numbers)
    found = ShrunkRanks(session).decoded(given)
    assert feasible.fits(found)
    factors = np.linspace(0, 1, 4001)
    shrunk = np.minimum((factors[:, None] * given * 4).astype(int), 3)
    distinct = np.unique(shrunk, axis=0)
    largest = max((row.tolist() for row in distinct if feasible.fits(row)), default=[0, 0, 0])
    # a little more than the grid of factors finds, and never less
    assert all(found >= largest)


def test_by_hand() -> None:
    # ranks of (2, 4) bits: both wanted at 4, the budget is enough for one
    problem = ToyProblem(2, 40.0, SearchSpace(bits=(2, 4)))  # 40 and 160 weights
    budget = problem.with_budget(type(problem.budget).average_bits((2 * 40 + 4 * 160 + 50) / 200))
    ranks = ShrunkRanks(Session(budget, 9))
    assert ranks.decoded(np.array([0.6, 0.9])).tolist() == [0, 1]
    assert ranks.decoded(np.array([0.9, 0.6])).tolist() == [1, 0]
    assert ranks.decoded(np.array([0.4, 0.0])).tolist() == [0, 0]
    assert ranks.decoded(np.array([1.0, 0.0])).tolist() == [1, 0]


@pytest.mark.parametrize("decoding", sorted(DECODERS))
def test_every_trial_is_feasible(decoding: str) -> None:
    problem = ToyProblem(3, 5.0, MIXED)
    result = TPE(decoding=decoding).search(problem, 12, seed=0)
    assert all(evaluation.feasible for evaluation in result.history)


def test_an_unknown_decoding_is_refused() -> None:
    with pytest.raises(SettingsError, match="decoding='sorted', use one of"):
        TPE(decoding="sorted")
