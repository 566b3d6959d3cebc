"""The report of first answers: beside the optimum, and one way against another."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rlquant import Budget, TabularProblem, load_table
from rlquant.testing import random_table
from rlquant_experiments.pretraining.first_answer import first_answer
from rlquant_experiments.pretraining.first_answers import (
    WAYS,
    FirstAnswers,
    compare_first_answers,
    report_first_answers,
    wins,
)
from rlquant_experiments.pretraining.pretrain import PretrainSettings, pretrain


def test_ratios_are_logs_over_the_optimum() -> None:
    table = load_table("digits-mlp")
    (found,) = compare_first_answers([table], [3.0])
    problem = TabularProblem(table, Budget.average_bits(3.0))
    best = problem.optimum()[1].loss
    own = problem.evaluate(first_answer(problem)).loss
    assert found.ratios["e"] == pytest.approx(math.log(own / best))
    assert list(found.ratios) == list(WAYS)
    assert all(ratio >= -1e-9 for ratio in found.ratios.values())


def test_budgets_that_nothing_keeps_are_left_out() -> None:
    found = compare_first_answers([random_table(2, 3)], [0.5, 3.0])
    assert [each.bits for each in found] == [3.0]


def test_wins_ties_and_losses() -> None:
    pairs = [(0.1, 0.2), (0.2, 0.2), (0.3, 0.2), (0.0, 0.2)]
    answers = [FirstAnswers("t", 3.0, {"a": a, "b": b}) for b, a in pairs]
    assert wins(answers, "b", "a") == (2, 1, 1)


def test_the_report_says_all_of_it(tmp_path: Path) -> None:
    tables = [random_table(2, 3, seed=seed) for seed in range(5)]
    tiny = PretrainSettings(guided=1, updates=1, episodes=2, environments=1)
    weights = pretrain(tables, tmp_path, settings=tiny, command="the command").weights
    answers = compare_first_answers(tables[:1], [3.0, 4.0], weights)
    report = report_first_answers(answers, "another command", weights)
    for words in ("    the command", "    another command", "| **all** | mean |", "none is a netw"):
        assert words in report
    assert "of 2; mean" in report
    assert "| largest possible |" in report
