"""Tables and words of one stratum, with losses or regrets by hand."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from compared_runs import SCORE, run

from rlquant import Budget, TabularProblem
from rlquant.score import Measurement
from rlquant.testing import ToyProblem, random_table
from rlquant_experiments.comparison.held_out import HeldOut
from rlquant_experiments.comparison.runs import Run
from rlquant_experiments.comparison.sections import (
    held_out_section,
    progress_table,
    runs_csv,
    section,
    summary_table,
    verdict,
)
from rlquant_experiments.comparison.stratum import RegretScale, Stratum

TEST = Measurement(loss=0.75, accuracy=0.25, samples=10)
RUNS = {
    "random": [run("random", 4.0, 3.0, 2.0), run("random", 4.0, 4.0, 4.0, seed=1)],
    "tpe": [run("tpe", 3.0, 2.0, 2.0), run("tpe", 3.0, 1.0, 1.0, seed=1)],
    "knapsack": [run("knapsack", math.nan, 1.0, notes=("widths extrapolated",))],
    "masked-ppo": [run("masked-ppo", 3.0, 2.0, 2.0), run("masked-ppo", 3.0, 3.0, 2.0, seed=1)],
}


def live(runs: Mapping[str, Sequence[Run]] = RUNS) -> Stratum:
    """Runs on a network with a test set."""
    tested = {
        label: [replace(one, test=TEST, evaluator_seconds=0.5) for one in of]
        for label, of in runs.items()
    }
    return Stratum("toy", ToyProblem(2).with_budget(Budget.average_bits(2.5)), tested)


def tabular() -> Stratum:
    """The same runs where the optimum has loss 1 and uniform bits 3."""
    problem = TabularProblem(random_table(4), Budget.average_bits(3.0))
    scale = RegretScale(optimum=SCORE, uniform=replace(SCORE, loss=3.0))
    return Stratum("table", problem, RUNS, scale)


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_the_verdict_follows_the_numbers() -> None:
    words = verdict(live(), "masked-ppo")
    assert "Mean best loss of random: 3.0000." in words
    assert "Below it: knapsack, tpe, masked-ppo. Not below it: none." in words
    assert "masked-ppo (mean 2.0000) is below random (-33.3 %)." in words
    assert "It is not below knapsack (+100.0 %), tpe (+33.3 %)." in words
    assert verdict(live({"tpe": RUNS["tpe"]}), "masked-ppo") == ""


def test_equal_is_not_below() -> None:
    runs = {"random": [run("random", 2.0)], "masked-ppo": [run("masked-ppo", 2.0)]}
    words = verdict(live(runs), "masked-ppo")
    assert "Below it: none. Not below it: masked-ppo." in words
    assert "is below none. It is not below random (+0.0 %)." in words


def test_the_summary_of_a_network_shows_test_set_and_times() -> None:
    headings, _, *rows = cells(summary_table(live()))
    assert headings[-1] == "evaluator's share"
    by_name = {row[0]: row for row in rows}
    assert [row[0] for row in rows] == ["knapsack", "tpe", "masked-ppo", "random"]
    assert by_name["random"][1:4] == ["2", "3.0000", "2.0000 to 4.0000"]
    assert by_name["knapsack"][1:4] == ["1", "1.0000", ""]
    assert by_name["tpe"][4:] == ["0.5000", "0.7500", "0.2500", "2.500", "3", "9", "2.0", "25 %"]


def test_the_summary_of_a_table_shows_who_found_the_optimum() -> None:
    headings, _, *rows = cells(summary_table(tabular()))
    column = headings.index("optimum found")
    assert [row[column] for row in rows] == ["1 of 1", "1 of 2", "0 of 2", "0 of 2"]
    assert "test loss" not in headings


def test_the_progress_is_of_losses_or_of_regrets_and_says_where_there_is_nothing_yet() -> None:
    lines = progress_table(live(), (1, 2, 3)).splitlines()
    assert lines[0] == "| searcher | after 1 | after 2 | after 3 |"
    assert "| knapsack | none yet | 1.0000 | 1.0000 |" in lines
    assert "| random | 4.0000 | 3.5000 | 3.0000 |" in lines
    assert "| random | 1.5000 | 1.2500 | 1.0000 |" in progress_table(tabular(), (1, 2, 3))


def test_a_section_has_tables_figure_words_and_notes() -> None:
    text = "\n\n".join(section(live(), (1, 3), "-2.5", "masked-ppo"))
    assert text.startswith("## Average bits 2.5\n\n| searcher")
    for part in ("-2.5.png)", verdict(live(), "masked-ppo"), "knapsack: widths extrapolated."):
        assert part in text
    text = "\n\n".join(section(tabular(), (1, 3), "-3", "tpe"))
    assert text.startswith("## Average bits 3\n\nOptimum: loss 1.0000, accuracy 0.5000. Uniform: ")
    assert "per-layer effects explain" in text  # the probe


def seen(losses: list[float], correct: list[float]) -> HeldOut:
    return HeldOut(np.array(losses), np.array(correct))


def test_differences_on_test_images_are_shown_where_images_were_kept() -> None:
    own = replace(RUNS["masked-ppo"][0], held_out=seen([1.0, 2.0], [1, 1]))
    other = replace(RUNS["tpe"][0], held_out=seen([1.5, 2.5], [1, 0]))
    both = live({"masked-ppo": [own], "tpe": [other]})
    assert (
        "| tpe | -0.5000 | +0.5000 [+0.0000, +1.0000] |" in held_out_section(both, "masked-ppo")[1]
    )
    assert held_out_section(both, "tpe")[1].endswith(
        "| masked-ppo | +0.5000 | -0.5000 [-1.0000, +0.0000] |"
    )
    assert held_out_section(live(), "masked-ppo") == []  # of these no image was kept
    assert held_out_section(live({"masked-ppo": [own]}), "masked-ppo") == []


def test_the_csv_has_a_row_for_each_run_and_what_is_known_of_it() -> None:
    rows = list(csv.DictReader(io.StringIO(runs_csv([live()], (1, 3)))))
    assert len(rows) == 7
    assert (rows[1]["searcher"], rows[1]["seed"], rows[1]["loss"]) == ("random", "1", "4.0")
    assert (rows[1]["budget"], rows[1]["test_accuracy"]) == ("average bits 2.5", "0.25")
    assert "regret_1" not in rows[1]
    rows = list(csv.DictReader(io.StringIO(runs_csv([tabular()], (1, 3)))))
    assert (float(rows[0]["optimum"]), float(rows[0]["uniform"])) == (1.0, 3.0)
    assert (float(rows[0]["regret_1"]), float(rows[0]["regret_3"])) == pytest.approx((1.5, 0.5))
    assert rows[4]["regret_1"] == "nan"
    assert "test_loss" not in rows[0]
