"""The best uniform configuration is one thing everywhere: of all options that keep the budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from problems import problem
from reported_runs import live_problem
from rlquant import Budget, Problem, Score, SearchSpace
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents import make_searcher, search_problem
from rlquant_agents.reporting.run_files import read_run
from rlquant_agents.runs.run_folder import RunFolder
from rlquant_agents.search.uniform import best_uniform, uniform_configs, uniform_evaluations
from small_networks import trained
from tuned_problems import counting_trainings, tuned

pytestmark = pytest.mark.usefixtures("blank_figures")


def brute_force(problem: Problem) -> list[Score]:
    """Return the scores of all uniform configurations that keep the budget."""
    feasible = problem.feasible
    rows = [[option] * len(feasible) for option in range(len(feasible.options))]
    return [problem.evaluate(feasible.config(row)) for row in rows if feasible.fits(row)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ToyProblem(3, 4.0),
        lambda: ToyProblem(2, 8.5, MIXED),
        live_problem,
        lambda: live_problem(budget=Budget.average_bits(3.0)),
        lambda: problem(network=trained("mlp"), space=SearchSpace(activation_bits=(None, 3, 8))),
    ],
)
def test_it_is_the_best_of_all_options(make: Any) -> None:
    made = make()
    found = best_uniform(made, 1)
    assert found is not None
    assert found[1] == made.evaluate(found[0])
    assert found[1].loss == min(score.loss for score in brute_force(made))
    searched = make_searcher("uniform").search(made, 500, seed=0)
    assert (searched.best, searched.score) == found


def test_the_reward_of_the_search_decides_what_is_best() -> None:
    made = live_problem()
    for reward, wanted in (
        (lambda score, _: -score.size_bytes, lambda score: -score.size_bytes),
        ("accuracy", lambda score: score.accuracy),
    ):
        found = best_uniform(made, 1, reward)
        assert found is not None
        assert wanted(found[1]) == max(wanted(score) for score in brute_force(made))


def test_where_no_option_fits_everywhere_there_is_none(tmp_path: Path) -> None:
    space = SearchSpace(bits=(2, 8), exclude=("second",))
    loose = problem(space=space)
    feasible = loose.feasible
    tight = loose.with_budget(Budget.average_bits(feasible.cost.value(feasible.smallest)))
    assert best_uniform(tight, 1) is not None  # two bits everywhere
    assert uniform_configs(tight.feasible) != []
    with mock.patch("rlquant_agents.search.uniform.uniform_configs", return_value=[]):
        assert best_uniform(tight, 1) is None
        search_problem(tight, searcher="random", evaluations=1, out=tmp_path)
    assert "uniform" not in read_run(tmp_path).references


def test_where_networks_are_trained_it_takes_no_more_evaluations_than_the_search() -> None:
    made = tuned()
    everything = len(uniform_configs(made.feasible))
    assert uniform_evaluations(made, 3) == 3 < everything
    assert uniform_evaluations(made, 10_000) == everything
    assert uniform_evaluations(made.at_fidelity("calibrated"), 3) > 3
    with counting_trainings() as trainings:
        found = best_uniform(made, 3)
    assert trainings.call_count == 3
    assert found is not None
    assert found[1] == make_searcher("uniform").search(made, 3, seed=0).score


@pytest.mark.parametrize("searcher", ["random", "uniform"])
def test_the_report_shows_the_same_that_is_measured(searcher: str, tmp_path: Path) -> None:
    made = live_problem(budget=Budget.average_bits(5.0))
    search_problem(made, searcher=searcher, evaluations=3, out=tmp_path)
    shown = read_run(tmp_path).references["uniform"]
    assert shown.loss == min(score.loss for score in brute_force(made))


def test_an_interruption_while_it_is_measured_ends_the_run(tmp_path: Path) -> None:
    with mock.patch.object(RunFolder, "measure_uniform", side_effect=KeyboardInterrupt):
        result = search_problem(ToyProblem(3), searcher="random", evaluations=4, out=tmp_path)
    assert result.stopped == "interrupted"
    assert len(result.history) == 4
    assert list(read_run(tmp_path).references) == ["float"]
    again = search_problem(ToyProblem(3), searcher="random", evaluations=4, out=tmp_path)
    assert again.stopped == "evaluations"
    assert "uniform" in read_run(tmp_path).references
