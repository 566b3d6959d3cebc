"""Candidates, observations, and how a batch is selected."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant.testing import ToyProblem
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.acquisition import (
    ExpectedImprovement,
    UpperConfidenceBound,
    select_batch,
)
from rlquant_agents.surrogate.neighbours import random_changes, single_changes
from rlquant_agents.surrogate.observations import Observations
from rlquant_agents.surrogate.surrogate import Surrogate


def test_rows_that_differ_in_one_layer() -> None:
    rows = single_changes(np.array([1, 0]), 3)
    assert rows.tolist() == [[0, 0], [1, 0], [2, 0], [1, 0], [1, 1], [1, 2]]


def test_rows_that_differ_in_two_layers_at_most() -> None:
    base = np.array([1, 0, 2, 2])
    rows = random_changes(base, 3, 200, np.random.default_rng(0))
    differing = (rows != base).sum(axis=1)
    assert rows.shape == (200, 4)
    assert set(differing.tolist()) == {0, 1, 2}
    assert set(rows.reshape(-1).tolist()) == {0, 1, 2}


def test_observations_follow_the_session() -> None:
    problem = ToyProblem(3, 4.0)
    session = Session(problem, 10)
    first = session.ask_indices([0, 0, 0])
    observed = Observations(session)
    assert observed.rows.tolist() == [[0, 0, 0]]
    assert observed.log_losses == pytest.approx([session.log_loss(first)])
    observed.evaluate(np.array([[1, 0, 0], [0, 1, 0]]))
    assert sorted(observed.rows.tolist()) == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert observed.spent(observed.rows).tolist() == [
        problem.feasible.spent(row) for row in observed.rows.tolist()
    ]
    unknown = observed.unknown([(0, 0, 0), (2, 0, 0), (2, 0, 0), (0, 1, 0)])
    assert unknown.tolist() == [[2, 0, 0]]


def test_the_best_known_depends_on_the_limit() -> None:
    problem = ToyProblem(3, 40.0)
    observed = Observations(Session(problem, 10))
    assert observed.rows.size == 0
    observed.evaluate(np.array([[3, 3, 3], [1, 1, 1], [0, 0, 0]]))
    spent = {
        tuple(row): float(s)
        for row, s in zip(observed.rows.tolist(), observed.spent(observed.rows), strict=True)
    }
    assert observed.best(spent[3, 3, 3])[0].tolist() == [3, 3, 3]  # type: ignore[index]
    assert observed.best(spent[1, 1, 1])[0].tolist() == [1, 1, 1]  # type: ignore[index]
    assert observed.best(spent[0, 0, 0] - 1) is None


def test_the_select_batch_are_distinct_and_no_more_than_there_are() -> None:
    problem = ToyProblem(3, 4.0)
    session = Session(problem, 50)
    observed = Observations(session)
    observed.evaluate(np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]))
    surrogate = Surrogate(problem.layers, problem.feasible.options)
    surrogate.fit(observed.rows, observed.log_losses)
    rows = observed.unknown(single_changes(np.array([1, 1, 1]), 4).tolist())
    limits = np.array([float(problem.feasible.limit)])
    bests = observed.log_losses.min(keepdims=True)
    improvement = ExpectedImprovement(limits, bests, observed.spent)
    chosen = select_batch(rows, 4, surrogate, improvement)
    assert len({tuple(row) for row in chosen.tolist()}) == 4
    surrogate.fit(observed.rows, observed.log_losses)
    assert len(select_batch(rows[:2], 4, surrogate, improvement)) == 2


def test_with_few_evaluations_left_the_first_rows_are_measured() -> None:
    problem = ToyProblem(3, 40.0)
    problem.expect = lambda configs: list(reversed(range(len(configs))))  # type: ignore[attr-defined]
    observed = Observations(Session(problem, 1))
    observed.evaluate(np.array([[2, 2, 2], [0, 0, 0]]))
    assert observed.rows.tolist() == [[2, 2, 2]]


def test_an_improvement_counts_under_every_limit_that_is_kept() -> None:
    def spent(rows: np.ndarray) -> np.ndarray:
        return rows[:, 0]

    improvement = ExpectedImprovement(np.array([1.0, 3.0]), np.array([5.0, 2.0]), spent)
    rows = np.array([[1], [2], [4]])
    found = improvement(rows, np.array([1.0, 1.0, 0.0]), np.full(3, 1e-9))
    assert found == pytest.approx([(4 + 1) / 2, 1 / 2, 0.0])


def test_an_upper_confidence_bound_prefers_what_is_uncertain_and_keeps_the_limit() -> None:
    bound = UpperConfidenceBound(2.0, lambda rows: rows[:, 0], coefficient=3.0)
    rows = np.array([[1], [2], [3]])
    found = bound(rows, np.array([0.5, 1.0, 0.0]), np.array([0.1, 0.5, 9.0]))
    assert found == pytest.approx([-0.2, 0.5, -np.inf])


def test_stagnation_counts_from_the_best_evaluation_on() -> None:
    problem = ToyProblem(3, 40.0)
    session = Session(problem, 10)
    observed = Observations(session)
    assert observed.stagnation == 0
    observed.evaluate(np.array([[3, 3, 3]]))
    observed.evaluate(np.array([[0, 0, 0], [1, 0, 0]]))
    assert observed.stagnation == 2


def test_evaluations_without_a_final_score_count_only_where_they_may() -> None:
    session = Session(ToyProblem(3, 40.0), 10)
    session.ask_indices([0, 0, 0])
    session._add(session.feasible.config([1, 0, 0]), session.history[0].score, True, final=False)
    everything, final = Observations(session), Observations(session, partial=False)
    assert (len(everything.rows), len(final.rows)) == (2, 1)
    assert final.is_known(np.array([1, 0, 0]))
    assert final.unknown([(1, 0, 0), (0, 1, 0)]).tolist() == [[0, 1, 0]]
