"""Runs on one table under one budget: their regrets, and whether they kept the budget."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from judged_runs import stratum

from rlquant_experiments.comparison.table_stratum import Stratum, labels_of


def test_a_run_that_ended_keeps_its_regret_and_a_long_one_is_cut() -> None:
    one = stratum({"a": [[0.5, 0.25], [0.5, 0.4, 0.3, 0.2]]})
    expected = np.array([[0.5, 0.25, 0.25], [0.5, 0.4, 0.3]])
    assert one.regrets("a", 3) == pytest.approx(expected)


def test_who_has_found_nothing_has_the_regret_of_the_cheapest_configuration() -> None:
    one = stratum({"a": [[math.nan, math.nan, 0.5]], "b": [[math.nan]]})
    cheapest = one.problem.evaluate_indices(one.problem.feasible.costs.argmin(axis=1).tolist())
    assert one.cheapest() == cheapest
    ends = one.scale.uniform.loss - one.scale.optimum.loss
    regret = (cheapest.loss - one.scale.optimum.loss) / ends
    assert regret > 1
    assert one.regrets("a", 3)[0] == pytest.approx([regret, regret, 0.5])
    assert one.regrets("b", 3)[0] == pytest.approx([regret] * 3)


def test_results_over_the_budget_are_found() -> None:
    one = stratum({"a": [[0.5], [0.4]], "b": [[0.3]]})
    assert one.violations() == []
    over = replace(one.runs["a"][1], score=replace(one.scale.optimum, average_bits=4.0001))
    worse = Stratum(one.problem, one.scale, {**one.runs, "a": [one.runs["a"][0], over]})
    assert worse.violations() == [over]


def test_it_has_a_name_and_labels_in_order() -> None:
    one = stratum({"b": [[0.5]], "a": [[0.5]]}, seed=2)
    assert one.name == "table-2, average bits 4"
    assert labels_of([one]) == ("b", "a")
