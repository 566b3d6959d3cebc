"""What a model likes best: looked for everywhere, or found by descents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant import SearchSpace
from rlquant_agents.surrogate import promising
from rlquant_agents.surrogate.promising import Promising, every_feasible, neighbours_of
from toy_problem import ToyProblem

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
    assert [tuple(row) for row in every_feasible(problem.feasible).tolist()] == fitting
    place = problem.feasible.sample(generator)
    near = neighbours_of(problem.feasible, place, generator).tolist()
    expected = [row for row in fitting if 1 <= (np.array(row) != place).sum() <= 2]
    assert sorted(map(tuple, near)) == expected


def test_of_very_many_neighbours_a_part_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promising, "MOST_NEIGHBOURS", 5)
    problem = limited(4, 1.0)
    generator = np.random.default_rng(0)
    found = [neighbours_of(problem.feasible, np.zeros(4, int), generator) for _ in range(2)]
    assert all(len({tuple(row) for row in rows.tolist()}) == 5 for rows in found)
    assert found[0].tolist() != found[1].tolist()


@pytest.mark.parametrize("complete", [promising.COMPLETE, 0])
def test_it_proposes_the_best_first_and_nothing_twice(
    complete: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promising, "COMPLETE", complete)
    problem = limited(3, 0.6)
    effects = np.random.default_rng(1).normal(size=problem.feasible.costs.shape)

    def predict(rows: np.ndarray) -> np.ndarray:
        return effects[np.arange(3), rows].sum(axis=1)

    search = Promising(problem.feasible, np.random.default_rng(0))
    proposed = []
    while (row := search.best(predict, np.zeros(3, dtype=np.int64))) is not None:
        proposed.append(tuple(row.tolist()))
        search.forget(row)
        if complete == 0 and len(proposed) == 5:
            break
    fitting = [row for row in problem.everything() if problem.feasible.fits(row)]
    best_first = sorted(fitting, key=lambda row: predict(np.array([row]))[0])
    assert proposed == best_first[: len(proposed)]
    if complete:
        assert len(proposed) == len(fitting)


def test_descents_end_where_all_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promising, "COMPLETE", 0)
    problem = limited(1, 0.0)
    search = Promising(problem.feasible, np.random.default_rng(0))
    only = np.zeros(1, dtype=np.int64)
    flat = search.best(lambda rows: np.zeros(len(rows)), only)
    assert flat is not None
    search.forget(flat)
    assert search.best(lambda rows: np.zeros(len(rows)), only) is None
