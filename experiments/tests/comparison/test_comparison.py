"""Tables and words of a comparison: hand-computed, never hard-coded."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlquant import Budget, Score
from rlquant.score import Measurement
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_agents.search.curves import best_losses
from rlquant_experiments.comparison.comparison import (
    Run,
    loss_at,
    mean_loss,
    ranked,
    read_best_losses,
    verdict,
    violations,
)
from rlquant_experiments.comparison.comparison_report import (
    held_out_section,
    progress_table,
    runs_csv,
    section,
    summary_table,
)
from rlquant_experiments.comparison.held_out import HeldOut


def run(searcher: str, *curve: float, seed: int = 0, notes: tuple[str, ...] = ()) -> Run:
    score = Score(
        loss=curve[-1],
        accuracy=0.5,
        size_bytes=100,
        average_bits=2.5,
        size_ratio=0.1,
        bops=1,
    )
    test = Measurement(loss=0.75, accuracy=0.25, samples=10)
    return Run(searcher, seed, score, test, np.array(curve), 9, 2.0, "evaluations", notes, 0.5)


RUNS = {
    "random": [run("random", 4.0, 3.0, 2.0), run("random", 4.0, 4.0, 4.0, seed=1)],
    "tpe": [run("tpe", 3.0, 2.0, 2.0), run("tpe", 3.0, 1.0, 1.0, seed=1)],
    "knapsack": [run("knapsack", math.nan, 1.0, notes=("widths extrapolated",))],
    "masked-ppo": [run("masked-ppo", 3.0, 2.0, 2.0), run("masked-ppo", 3.0, 3.0, 2.0, seed=1)],
}


def test_searchers_are_ranked_by_their_mean_loss() -> None:
    assert mean_loss(RUNS["random"]) == 3.0
    assert ranked(RUNS) == ["knapsack", "tpe", "masked-ppo", "random"]


def test_a_run_that_ended_early_keeps_its_last_loss() -> None:
    assert loss_at(RUNS["knapsack"][0].curve, 200) == 1.0
    assert math.isnan(loss_at(RUNS["knapsack"][0].curve, 1))
    assert loss_at(RUNS["random"][0].curve, 2) == 3.0


def test_the_verdict_follows_the_numbers() -> None:
    words = verdict(RUNS)
    assert "Mean best loss of random: 3.0000." in words
    assert "Below it: knapsack, tpe, masked-ppo. Not below it: none." in words
    assert "masked-ppo (mean 2.0000) beats random (-33.3 %)." in words
    assert "It does not beat knapsack (+100.0 %), tpe (+33.3 %)." in words


def test_the_verdict_turns_with_the_numbers() -> None:
    worse = {**RUNS, "masked-ppo": [run("masked-ppo", 5.0)]}
    words = verdict(worse)
    assert "Not below it: masked-ppo." in words
    assert "masked-ppo (mean 5.0000) beats none." in words


def test_equal_is_not_beaten() -> None:
    words = verdict({"random": [run("random", 2.0)], "masked-ppo": [run("masked-ppo", 2.0)]})
    assert "Below it: none. Not below it: masked-ppo." in words
    assert "beats none. It does not beat random (+0.0 %)." in words


def test_the_verdict_leaves_out_what_did_not_run() -> None:
    assert verdict({"tpe": RUNS["tpe"]}) == ""


def test_the_summary_shows_mean_and_range() -> None:
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in summary_table(RUNS).splitlines()]
    assert {len(row) for row in rows} == {12}
    by_name = {row[0]: row for row in rows}
    assert by_name["random"][1:4] == ["2", "3.0000", "2.0000 to 4.0000"]
    assert by_name["knapsack"][1:4] == ["1", "1.0000", ""]
    assert by_name["tpe"][4:] == ["0.5000", "0.7500", "0.2500", "2.500", "3", "9", "2", "25 %"]


def test_the_progress_says_where_there_is_nothing_yet() -> None:
    lines = progress_table(RUNS, (1, 2, 3)).splitlines()
    assert lines[0] == "| searcher | after 1 | after 2 | after 3 |"
    assert "| knapsack | none yet | 1.0000 | 1.0000 |" in lines
    assert "| random | 4.0000 | 3.5000 | 3.0000 |" in lines


def test_a_section_has_tables_figure_words_and_notes() -> None:
    text = section("average bits 2.5", RUNS, (1, 3), "x-2.5.png")
    assert text.startswith("## Average bits 2.5\n")
    for part in ("(x-2.5.png)", verdict(RUNS), "knapsack: widths extrapolated."):
        assert part in text


def seen(losses: list[float], correct: list[float]) -> HeldOut:
    return HeldOut(np.array(losses), np.array(correct))


def test_differences_on_test_images_are_shown_where_images_were_kept() -> None:
    own = replace(RUNS["masked-ppo"][0], held_out=seen([1.0, 2.0], [1, 1]))
    other = replace(RUNS["tpe"][0], held_out=seen([1.5, 2.5], [1, 0]))
    text = section("average bits 2.5", {"masked-ppo": [own], "tpe": [other]}, (1,), "x.png")
    assert "| searcher | test loss | test accuracy |" in text
    assert "| tpe | -0.5000 | +0.5000 [+0.0000, +1.0000] |" in text
    assert held_out_section({"masked-ppo": [own], "tpe": [other]}, "tpe")[1].endswith(
        "| masked-ppo | +0.5000 | -0.5000 [-1.0000, +0.0000] |"
    )
    assert held_out_section(RUNS, "masked-ppo") == []  # of these no image was kept
    assert held_out_section({"masked-ppo": [own]}, "masked-ppo") == []


def test_results_over_the_budget_are_found() -> None:
    assert violations(RUNS, Budget.average_bits(2.5)) == []
    assert len(violations(RUNS, Budget.average_bits(2.4))) == 7
    assert len(violations(RUNS, Budget.size_bytes(99))) == 7


def test_the_csv_has_a_row_for_each_run() -> None:
    rows = list(csv.DictReader(io.StringIO(runs_csv({"average bits 2.5": RUNS}))))
    assert len(rows) == 7
    assert rows[1]["searcher"] == "random"
    assert (rows[1]["seed"], rows[1]["loss"], rows[1]["test_accuracy"]) == ("1", "4.0", "0.25")


@pytest.mark.parametrize("searcher", ["random", "knapsack"])
def test_a_curve_reads_back_as_it_was(tmp_path: Path, searcher: str) -> None:
    result = search_problem(ToyProblem(4), searcher=searcher, evaluations=30, out=tmp_path)
    curve = best_losses(result.history)
    assert np.array_equal(read_best_losses(tmp_path / "evaluations.csv"), curve, equal_nan=True)
    assert curve[-1] == result.score.loss
    assert len(curve) == len(result.history)
