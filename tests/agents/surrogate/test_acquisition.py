"""What may be measured next, what is known, and how some of it are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.acquisition import Hope, Improvement, most_promising
from rlquant_agents.surrogate.known import Known
from rlquant_agents.surrogate.landscape import Landscape
from rlquant_agents.surrogate.neighbours import changed_once, changed_twice
from toy_problem import ToyProblem


def test_rows_that_differ_in_one_layer() -> None:
    rows = changed_once(np.array([1, 0]), 3)
    assert rows.tolist() == [[0, 0], [1, 0], [2, 0], [1, 0], [1, 1], [1, 2]]


def test_rows_that_differ_in_two_layers_at_most() -> None:
    base = np.array([1, 0, 2, 2])
    rows = changed_twice(base, 3, 200, np.random.default_rng(0))
    differing = (rows != base).sum(axis=1)
    assert rows.shape == (200, 4)
    assert set(differing.tolist()) == {0, 1, 2}
    assert set(rows.reshape(-1).tolist()) == {0, 1, 2}


def test_known_follows_the_session() -> None:
    problem = ToyProblem(3, 4.0)
    session = Session(problem, 10)
    first = session.ask_indices([0, 0, 0])
    known = Known(session)
    assert known.rows.tolist() == [[0, 0, 0]]
    assert known.damages == pytest.approx([session.damage(first)])
    known.ask(np.array([[1, 0, 0], [0, 1, 0]]))
    assert sorted(known.rows.tolist()) == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert known.spent(known.rows).tolist() == [
        problem.feasible.spent(row) for row in known.rows.tolist()
    ]
    unknown = known.unknown([(0, 0, 0), (2, 0, 0), (2, 0, 0), (0, 1, 0)])
    assert unknown.tolist() == [[2, 0, 0]]


def test_the_best_known_depends_on_the_limit() -> None:
    problem = ToyProblem(3, 40.0)
    known = Known(Session(problem, 10))
    assert known.rows.size == 0
    known.ask(np.array([[3, 3, 3], [1, 1, 1], [0, 0, 0]]))
    spent = {
        tuple(row): float(s)
        for row, s in zip(known.rows.tolist(), known.spent(known.rows), strict=True)
    }
    assert known.best(spent[3, 3, 3])[0].tolist() == [3, 3, 3]  # type: ignore[index]
    assert known.best(spent[1, 1, 1])[0].tolist() == [1, 1, 1]  # type: ignore[index]
    assert known.best(spent[0, 0, 0] - 1) is None


def test_the_most_promising_are_distinct_and_no_more_than_there_are() -> None:
    problem = ToyProblem(3, 4.0)
    session = Session(problem, 50)
    known = Known(session)
    known.ask(np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]))
    landscape = Landscape(problem.layers, problem.feasible.options)
    landscape.learn(known.rows, known.damages)
    rows = known.unknown(changed_once(np.array([1, 1, 1]), 4).tolist())
    limits = np.array([float(problem.feasible.limit)])
    best = Improvement(limits, known.damages.min(keepdims=True), known.spent)
    chosen = most_promising(rows, 4, landscape, best)
    assert len({tuple(row) for row in chosen.tolist()}) == 4
    landscape.learn(known.rows, known.damages)
    assert len(most_promising(rows[:2], 4, landscape, best)) == 2


def test_with_few_evaluations_left_the_first_rows_are_measured() -> None:
    problem = ToyProblem(3, 40.0)
    problem.expect = lambda configs: list(reversed(range(len(configs))))  # type: ignore[attr-defined]
    known = Known(Session(problem, 1))
    known.ask(np.array([[2, 2, 2], [0, 0, 0]]))
    assert known.rows.tolist() == [[2, 2, 2]]


def test_an_improvement_counts_under_every_limit_that_is_kept() -> None:
    def spent(rows: np.ndarray) -> np.ndarray:
        return rows[:, 0]

    worth = Improvement(np.array([1.0, 3.0]), np.array([5.0, 2.0]), spent)
    rows = np.array([[1], [2], [4]])
    found = worth(rows, np.array([1.0, 1.0, 0.0]), np.full(3, 1e-9))
    assert found == pytest.approx([(4 + 1) / 2, 1 / 2, 0.0])


def test_hope_prefers_what_is_uncertain_and_keeps_the_limit() -> None:
    hope = Hope(2.0, lambda rows: rows[:, 0], deviations=3.0)
    rows = np.array([[1], [2], [3]])
    found = hope(rows, np.array([0.5, 1.0, 0.0]), np.array([0.1, 0.5, 9.0]))
    assert found == pytest.approx([-0.2, 0.5, -np.inf])


def test_a_search_rests_from_its_best_evaluation_on() -> None:
    problem = ToyProblem(3, 40.0)
    session = Session(problem, 10)
    known = Known(session)
    assert known.at_rest == 0
    known.ask(np.array([[3, 3, 3]]))
    known.ask(np.array([[0, 0, 0], [1, 0, 0]]))
    assert known.at_rest == 2
