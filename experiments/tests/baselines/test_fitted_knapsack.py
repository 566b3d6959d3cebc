"""A sum of effects fitted to whole configurations."""

from __future__ import annotations

import pytest

from rlquant.errors import SettingsError
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_experiments.baselines.fitted_knapsack import FittedKnapsack


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_effects_add_up_it_finds_the_exact_optimum_soon(seed: int) -> None:
    problem = ToyProblem(5, 4.0)
    assert problem.feasible.count() > 200
    result = FittedKnapsack().search(problem, 40, seed)
    assert result.score.loss == pytest.approx(problem.best_loss())
    assert all(evaluation.feasible for evaluation in result.history)


def test_it_stays_within_the_budget_and_uses_up_a_mixed_space() -> None:
    problem = ToyProblem(2, 4.0, MIXED)
    result = FittedKnapsack().search(problem, 2000, seed=0)
    assert result.stopped == "exhausted"
    assert len(result.history) == problem.feasible.count()


def test_it_begins_with_as_many_random_ones_as_it_says() -> None:
    runs = [FittedKnapsack(start=0.5, noise=n).search(ToyProblem(4), 20, 3) for n in (0.1, 2.0)]
    first, second = ([e.config for e in run.history] for run in runs)
    assert first[:10] == second[:10]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("start", -0.1), ("start", 1.1), ("explore_share", 2), ("noise", 0.0)],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{setting}={value}"):
        FittedKnapsack(**{setting: value})
