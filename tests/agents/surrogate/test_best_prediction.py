"""The best prediction, looked for everywhere or found by descents; neighbourhoods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate import acquisition, neighbours
from rlquant_agents.surrogate.acquisition import BestPrediction
from rlquant_agents.surrogate.neighbours import feasible_neighbours
from rlquant_agents.surrogate.observations import Observations

SPACE = SearchSpace(bits=(2, 4, 8))


def limited(layers: int, level: float) -> ToyProblem:
    problem = ToyProblem(layers, 40.0, SPACE)
    return problem.with_budget(problem.within(level))


@settings(deadline=None, max_examples=30)
@given(layers=st.integers(1, 4), level=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_rows_and_neighbours_are_all_there_are(layers: int, level: float, seed: int) -> None:
    problem = limited(layers, level)
    generator = np.random.default_rng(seed)
    fitting = [row for row in problem.everything() if problem.feasible.fits(row)]
    assert [tuple(row) for row in problem.feasible.all_indices().tolist()] == fitting
    place = problem.feasible.sample(generator)
    near = feasible_neighbours(problem.feasible, place, generator).tolist()
    expected = [row for row in fitting if 1 <= (np.array(row) != place).sum() <= 2]
    assert sorted(map(tuple, near)) == expected


def test_of_very_many_neighbours_a_part_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_NEIGHBOURS", 5)
    problem = limited(4, 1.0)
    generator = np.random.default_rng(0)
    found = [feasible_neighbours(problem.feasible, np.zeros(4, int), generator) for _ in range(2)]
    assert all(len({tuple(row) for row in rows.tolist()}) == 5 for rows in found)
    assert found[0].tolist() != found[1].tolist()


@pytest.mark.parametrize("complete", [acquisition.COMPLETE, 0])
def test_it_proposes_the_best_first_and_nothing_twice(
    complete: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquisition, "COMPLETE", complete)
    problem = limited(3, 0.6)
    effects = np.random.default_rng(1).normal(size=problem.feasible.costs.shape)

    def predict(rows: np.ndarray) -> np.ndarray:
        return effects[np.arange(3), rows].sum(axis=1)

    observed = Observations(Session(problem, 99))
    search = BestPrediction(problem.feasible, observed, np.random.default_rng(0))
    proposed = []
    while (row := search.find(predict, np.zeros(3, dtype=np.int64))) is not None:
        proposed.append(tuple(row.tolist()))
        observed.evaluate(row[None])
        if complete == 0 and len(proposed) == 5:
            break
    fitting = [row for row in problem.everything() if problem.feasible.fits(row)]
    best_first = sorted(fitting, key=lambda row: predict(np.array([row]))[0])
    assert proposed == best_first[: len(proposed)]
    if complete:
        assert len(proposed) == len(fitting)


def test_descents_end_where_all_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition, "COMPLETE", 0)
    problem = limited(1, 0.0)
    observed = Observations(Session(problem, 9))
    search = BestPrediction(problem.feasible, observed, np.random.default_rng(0))
    only = np.zeros(1, dtype=np.int64)
    flat = search.find(lambda rows: np.zeros(len(rows)), only)
    assert flat is not None
    observed.evaluate(flat[None])
    assert search.find(lambda rows: np.zeros(len(rows)), only) is None
