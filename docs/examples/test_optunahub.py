"""The tables as a benchmark of OptunaHub: Optuna finds what the tables hold, within the budget.

Where optunahub is not installed, a stand-in keeps the contract of its `BaseProblem`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import optuna
import pytest

import rlquant

PACKAGE = Path(__file__).parent / "optunahub" / "benchmarks" / "rlquant_tables" / "__init__.py"


class BaseProblem:
    """Asks a trial for what is in `search_space`, and tells it the constraints."""

    search_space: Mapping[str, Any]

    def __call__(self, trial: optuna.Trial) -> Any:
        params = {
            name: trial.suggest_categorical(name, choices.choices)
            for name, choices in self.search_space.items()
        }
        for name, value in self.evaluate_constraints(params).items():  # type: ignore[attr-defined]
            trial.set_constraint(name, value)
        return self.evaluate(params)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def package() -> Any:
    """The module, loaded as `optunahub.load_local_module` does."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("optunahub") is None:
            stand_in = ModuleType("optunahub")
            stand_in.benchmarks = SimpleNamespace(BaseProblem=BaseProblem)  # type: ignore[attr-defined]
            patch.setitem(sys.modules, "optunahub", stand_in)
        spec = importlib.util.spec_from_file_location("rlquant_tables", PACKAGE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def test_a_study_searches_within_the_budget(package: Any) -> None:
    problem = package.Problem("digits-mlp", average_bits=2.6)
    params, loss = problem.optimum()
    assert problem.evaluate(params) == loss
    assert problem.evaluate_constraints(params)["average_bits"] <= 0
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(directions=problem.directions, sampler=sampler)
    study.enqueue_trial(params)
    study.optimize(problem, n_trials=20)
    assert study.best_value == pytest.approx(loss)  # what is below it is over the budget
    assert study.best_trial.params == params
    assert any(trial.value < loss for trial in study.trials)


def test_without_a_budget_there_are_two_objectives(package: Any) -> None:
    problem = package.Problem("digits-cnn-mixed", average_bits=None)
    assert problem.evaluate_constraints({}) == {}
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(directions=problem.directions, sampler=sampler)
    study.optimize(problem, n_trials=10)
    assert all(len(trial.values) == 2 for trial in study.best_trials)


def test_it_has_every_table_with_options_that_differ(package: Any) -> None:
    assert package.Problem.available_tables == rlquant.table_names()
    for name in rlquant.table_names():
        problem = package.Problem(name, 3.0)
        count = len(problem.problem.feasible.options)
        assert all(len(each.choices) == count for each in problem.search_space.values())
