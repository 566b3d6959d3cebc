"""The objective asks an Optuna trial for options, and keeps the budget whatever it answers."""

from __future__ import annotations

import optuna
import pytest

import rlquant
from rlquant import QuantizationConfig
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem


def study(**settings: object) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), **settings)  # type: ignore[arg-type]


def test_every_trial_keeps_the_budget_and_says_what_was_evaluated() -> None:
    problem = ToyProblem(3, 4.0)
    found = study()
    found.optimize(rlquant.optuna_objective(problem), n_trials=30)
    for trial in found.trials:
        config = QuantizationConfig.from_json(trial.user_attrs["config"])
        assert trial.value == problem.evaluate(config).loss
        assert trial.user_attrs["average_bits"] <= 4.0
    assert set(found.best_params) == {facts.name for facts in problem.layers}
    assert set(found.best_params.values()) <= {f"{bits} bits" for bits in problem.space.bits}


def test_configurations_can_be_asked_for_by_words() -> None:
    problem = ToyProblem(2, 8.0)
    found = study()
    wanted = {
        facts.name: f"{bits} bits" for facts, bits in zip(problem.layers, (2, 8), strict=True)
    }
    found.enqueue_trial(wanted)
    found.optimize(rlquant.optuna_objective(problem), n_trials=1)
    config = QuantizationConfig.from_json(found.trials[0].user_attrs["config"])
    assert [choice.bits for choice in config] == [2, 8]


def test_several_values_are_for_several_directions() -> None:
    found = study(directions=["minimize", "minimize"])
    found.optimize(rlquant.optuna_objective(ToyProblem(2), ("loss", "size_bytes")), n_trials=5)
    assert found.best_trials
    with pytest.raises(SettingsError, match="use one or several of loss"):
        rlquant.optuna_objective(ToyProblem(2), "los")
