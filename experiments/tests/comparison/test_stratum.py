"""Runs on one problem under one budget: their regrets, and whether they kept the budget."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from compared_runs import stratum

from rlquant import Budget, TabularProblem
from rlquant.errors import SettingsError
from rlquant.testing import random_table
from rlquant_experiments.comparison.stratum import LOSS_MARKS, RegretScale, labels_of, marks_up_to


def test_the_scale_ends_at_the_optimum_and_at_uniform_bits() -> None:
    problem = TabularProblem(random_table(5, interaction=1.0), Budget.average_bits(3.5))
    scale = RegretScale.of(problem)
    assert scale.optimum == problem.optimum()[1]
    assert scale.uniform.loss == min(
        problem.evaluate_indices([option] * 5).loss
        for option in range(6)
        if problem.feasible.fits([option] * 5)
    )
    regrets = scale.regret(np.array([scale.optimum.loss, scale.uniform.loss, math.nan]))
    assert regrets[:2] == pytest.approx([0.0, 1.0])
    assert math.isnan(regrets[2])


def test_without_anything_between_its_ends_there_is_no_scale() -> None:
    # within 32 bits, the widest option everywhere is the best there is
    with pytest.raises(SettingsError, match="average bits 32: uniform bits have the loss"):
        RegretScale.of(TabularProblem(random_table(3, interaction=0), Budget.average_bits(32)))


def test_a_run_that_ended_keeps_its_regret_and_a_long_one_is_cut() -> None:
    one = stratum({"a": [[0.5, 0.25], [0.5, 0.4, 0.3, 0.2]]})
    expected = np.array([[0.5, 0.25, 0.25], [0.5, 0.4, 0.3]])
    assert one.regrets("a", 3) == pytest.approx(expected)
    assert one.mean_at("a", 3) == pytest.approx((0.25 + 0.3) / 2)


def test_who_has_found_nothing_has_the_regret_of_the_cheapest_configuration() -> None:
    one = stratum({"a": [[math.nan, math.nan, 0.5]], "b": [[math.nan]]})
    assert one.scale is not None
    ends = one.scale.uniform.loss - one.scale.optimum.loss
    regret = (one.cheapest().loss - one.scale.optimum.loss) / ends
    assert regret > 1
    assert one.regrets("a", 3)[0] == pytest.approx([regret, regret, 0.5])
    assert one.regrets("b", 3)[0] == pytest.approx([regret] * 3)
    assert math.isnan(one.mean_at("a", 1))


def test_results_over_the_budget_are_found() -> None:
    one = stratum({"a": [[0.5], [0.4]], "b": [[0.3]]})
    assert one.violations() == []
    first, second = one.runs["a"]
    over = replace(second, score=replace(second.score, average_bits=4.0001))
    assert replace(one, runs={**one.runs, "a": [first, over]}).violations() == [over]


def test_it_has_a_name_and_labels_in_order_and_by_rank() -> None:
    one = stratum({"b": [[0.5]], "a": [[0.4], [0.5]]}, seed=2)
    assert one.name == "table-2, average bits 4"
    assert labels_of([one]) == ("b", "a")
    assert one.ranked() == ["a", "b"]


def test_marks_end_where_runs_end() -> None:
    assert marks_up_to(100) == (10, 30, 100)
    assert marks_up_to(80) == (10, 30, 80)
    assert marks_up_to(7) == (7,)
    assert marks_up_to(5000) == (10, 30, 100, 300, 1000, 5000)
    assert marks_up_to(200, LOSS_MARKS) == (25, 50, 100, 200)
