"""Statistics by hand: levels, differences within pairs, targets, and its words and tables."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from compared_runs import stratum, two_strata

from rlquant_experiments.comparison.statistics.regrets import Regrets
from rlquant_experiments.comparison.statistics.statistics import Estimate
from rlquant_experiments.comparison.statistics.summary import Difference, Summary, verdict
from rlquant_experiments.comparison.statistics.tables import (
    differences_table,
    improvements_table,
    levels_table,
    marks_csv,
    targets_table,
)


@pytest.fixture(scope="module")
def summary() -> Summary:
    return Summary.of(Regrets.of(two_strata(), 4), "agent")


def test_what_no_seed_changes_stands_for_every_seed() -> None:
    regrets = Regrets.of(two_strata(), 4)
    assert regrets.strata == ("table-0, average bits 4", "table-1, average bits 4")
    assert (regrets.labels, regrets.evaluations) == (("agent", "random", "uniform"), 4)
    assert regrets.at("uniform", 1) == pytest.approx(np.array([[1.5, 1.0], [1.5, 1.0]]))
    assert regrets.at("agent", 4) == pytest.approx(np.array([[0.0, 0.1], [0.0, 0.1]]), abs=1e-9)
    assert regrets.ranked(4) == ["agent", "random", "uniform"]


def test_levels_differences_and_targets_by_hand(summary: Summary) -> None:
    assert (summary.marks, summary.compared_at) == ((4,), (4,))
    assert summary.levels["random"][4].mean.value == pytest.approx((0.4 + 0.4 + 0.2 + 0.2) / 4)
    assert summary.levels["random"][4].middle.value == pytest.approx((0.4 + 0.2) / 2)
    random, uniform = summary.differences[4]
    assert (random.label, uniform.label) == ("random", "uniform")
    # seed by seed: 0 - 0.4, 0.1 - 0.4, 0 - 0.2, 0.1 - 0.2
    assert random.mean.value == pytest.approx(-0.25)
    assert (random.mean.low, random.mean.high) == pytest.approx((-0.35, -0.15))
    assert random.improvement.value == 1
    assert uniform.mean.words() == "-0.950"
    assert summary.improvements[4]["random"] == {"agent": 0.0, "uniform": 1.0}
    near, _ = summary.targets["agent"]
    assert (near.target, near.reached, near.median) == (0.05, 0.5, 4)
    assert near.restricted.value == (3 + 4 + 4 + 4) / 4


def test_longer_runs_are_compared_at_a_hundred_and_three_hundred() -> None:
    strata = [stratum({"a": [[0.5]], "b": [[0.4]]})]
    assert Summary.of(Regrets.of(strata, 300), "a").compared_at == (100, 300)
    assert Summary.of(Regrets.of(strata, 1000), "a").marks == (10, 30, 100, 300, 1000)


def test_the_words_say_so_where_it_is_below_every_baseline(summary: Summary) -> None:
    assert verdict(summary, 4) == (
        "After 4 evaluations agent (mean regret 0.050) is below every baseline; the nearest is "
        "random (difference -0.250 [-0.350, -0.150])."
    )


def test_the_words_say_plainly_where_not(summary: Summary) -> None:
    def other(label: str, low: float, high: float) -> Difference:
        return Difference(label, Estimate((low + high) / 2, low, high), Estimate(0.5, 0.4, 0.6))

    others = (other("better", 0.1, 0.3), other("alike", -0.1, 0.3), other("worse", -0.5, -0.1))
    words = verdict(replace(summary, differences={4: others}), 4)
    assert "agent (mean regret 0.050) is not below every baseline. Below it: better (diff" in words
    assert "Not told apart from it: alike (difference +0.100 [-0.100, +0.300])." in words
    assert words.endswith("It is below worse (difference -0.300 [-0.500, -0.100]).")
    alone = replace(summary, differences={4: ()})
    assert verdict(alone, 4).endswith("has no baseline.")


def test_the_tables_show_the_numbers(summary: Summary) -> None:
    rows = levels_table(summary).splitlines()
    assert rows[0] == "| searcher | after 4 |"
    assert rows[2:] == [
        "| agent | 0.050 |",
        "| random | 0.300 [0.200, 0.400] |",
        "| uniform | 1.000 |",
    ]
    assert "| random | 0.300 [0.200, 0.400] |" in levels_table(summary, middle=True)
    assert "| random | -0.250 [-0.350, -0.150] | agent is below | 1.00 |" in differences_table(
        summary, 4
    )
    assert "| random | 0.00 |  | 1.00 |" in improvements_table(summary, 4)
    words = targets_table(summary, two_strata()).splitlines()
    assert words[2].startswith("| agent | 4 | 50 % | 4 | 3.8 [3.5, 4.0] | 50 % | 4 |")
    assert words[4] == "| uniform | 2 | 0 % | never | 4.0 | 0 % | never | 4.0 | 0 % | 0.50 | 0 |"


def test_who_is_below_is_said_in_both_directions() -> None:
    strata = two_strata()
    table = differences_table(Summary.of(Regrets.of(strata, 4), "random"), 4)
    assert "| agent | +0.250 [+0.150, +0.350] | agent is below | 0.00 |" in table
    assert "| uniform | -0.700 [-0.800, -0.600] | random is below | 1.00 |" in table
    same = [stratum({"a": [[0.5], [0.4]], "b": [[0.4], [0.5]]})]
    assert "| not told apart |" in differences_table(Summary.of(Regrets.of(same, 1), "a"), 1)


def test_the_csv_has_a_row_for_each_run_and_mark() -> None:
    rows = list(csv.DictReader(io.StringIO(marks_csv(two_strata(), (1, 4)))))
    assert len(rows) == 2 * 2 * (2 + 2 + 1)
    first, last = rows[0], rows[-1]
    assert (first["table"], first["budget"], first["searcher"], first["seed"]) == (
        "table-0",
        "average bits 4",
        "agent",
        "0",
    )
    assert (first["evaluations"], rows[1]["evaluations"], first["used"]) == ("1", "4", "3")
    assert float(first["regret"]) == pytest.approx(0.5)
    assert float(rows[1]["regret"]) == pytest.approx(0.0, abs=1e-6)
    assert (last["searcher"], float(last["regret"])) == ("uniform", pytest.approx(1.0))
    nothing = next(r for r in rows if r["table"] == "table-1" and r["searcher"] == "agent")
    assert math.isnan(float(nothing["loss"]))  # nothing within the budget yet
    assert float(nothing["regret"]) > 1
