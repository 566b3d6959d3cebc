"""Optuna's pruners end trainings early, and what they end is no result."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest

from rlquant import TrainSettings
from rlquant.errors import EvaluationStopped, SettingsError
from rlquant.problem.live import QuantizationProblem
from rlquant.score import WORST_REWARD
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.optuna.search import NSGA2, TPE, Reporter
from tuned_problems import counting_trainings, tuned

STEPS = TrainSettings(steps=40, batch_size=16)


def always_prune(trial: optuna.Trial) -> bool:
    return trial.number % 2 == 1


def test_a_pruned_configuration_is_spent_but_never_the_result() -> None:
    problem = tuned(training=STEPS)
    with mock.patch.object(optuna.Trial, "should_prune", always_prune):
        result = TPE(pruner="median", startup=4).search(problem, 8, seed=0)
    given_up = [e for e in result.history if not e.final]
    assert len(result.history) == 8
    assert 1 <= len(given_up) < 8
    assert all(e.score.loss == math.inf and e.value == WORST_REWARD for e in given_up)
    assert result.best not in [e.config for e in given_up]
    assert math.isfinite(result.score.loss)
    # what was given up was not measured: asked again, it is
    assert math.isfinite(problem.evaluate(given_up[0].config).loss)


def test_the_pruner_hears_the_loss_on_the_labels_at_every_report() -> None:
    problem = tuned(training=STEPS)
    session = Session(problem, 3)
    trial = mock.Mock(spec=optuna.Trial)
    trial.should_prune.return_value = False
    session.ask_indices([0] * len(problem.layers), Reporter(trial))
    reports = [call.args for call in trial.report.call_args_list]
    assert [step for _, step in reports] == [10, 20, 30, 40]
    assert all(value < 0 for value, _ in reports)


def test_a_training_that_is_over_is_not_pruned() -> None:
    trial = mock.Mock(spec=optuna.Trial)
    trial.should_prune.return_value = True
    reporter = Reporter(trial)
    assert reporter(10, {"cross_entropy": 1.0, "steps_left": 30.0})
    assert not reporter(40, {"cross_entropy": 1.0, "steps_left": 0.0})


def test_a_search_that_prunes_trains_nothing_twice_and_does_not_depend_on_the_store(
    tmp_path: Path,
) -> None:
    """Three searches of one seed, the third beside other evaluations, prune the same."""

    def history(problem: QuantizationProblem) -> list[Any]:
        result = TPE(pruner="median", startup=4).search(problem, 14, seed=3)
        return [(e.config, e.score, e.final) for e in result.history]

    made = [tuned(training=STEPS, store=tmp_path / name) for name in ("a", "b")]
    first = history(made[0])
    assert any(not final for *_, final in first)
    with counting_trainings() as trained:
        assert history(tuned(training=STEPS, store=tmp_path / "a")) == first
    assert trained.call_count == 0
    for config, _, final in first:  # some are known whole, some only from their beginning
        if not final:
            made[1].evaluate(config)
        elif config.key < first[0][0].key:
            with suppress(EvaluationStopped):
                made[1].evaluate(config, lambda step, figures: step == 20)
    assert history(made[1]) == first


def test_the_pruner_hears_each_step_once_also_where_training_has_to_go_on() -> None:
    problem, heard = tuned(training=STEPS), list[int]()
    config = problem.feasible.config([0] * len(problem.layers))
    with pytest.raises(EvaluationStopped, match="after 20 steps"):
        problem.evaluate(config, lambda step, figures: step == 20)
    score = problem.evaluate(config, lambda step, figures: heard.append(step))
    assert heard == [10, 20, 30, 40]
    assert score == tuned(training=STEPS).evaluate(config)
    with pytest.raises(EvaluationStopped, match="after 10 steps"):
        problem.evaluate(config, lambda step, figures: True)


def test_without_training_a_pruner_changes_nothing() -> None:
    problem = tuned(fidelity="calibrated", training=None)
    plain = TPE(startup=4).search(problem, 8, seed=0)
    pruned = TPE(startup=4, pruner="median").search(problem, 8, seed=0)
    assert [e.config for e in plain.history] == [e.config for e in pruned.history]


def test_wrong_pruners_are_named() -> None:
    with pytest.raises(SettingsError, match="pruner='best', use one of"):
        TPE(pruner="best")
    with pytest.raises(SettingsError, match="needs one objective, this one has 2"):
        NSGA2(pruner="median")
