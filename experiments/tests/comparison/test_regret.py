"""Regret by hand: 1 at uniform bits, 0 at the optimum; its table, its CSV and its words."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest

import rlquant
from rlquant import Budget, Score, TabularProblem
from rlquant.errors import SettingsError
from rlquant.testing import random_table
from rlquant_experiments.comparison.regret import RegretScale
from rlquant_experiments.comparison.table_comparison_report import (
    marks_up_to,
    regret_table,
    regret_verdict,
    table_csv,
    table_section,
)
from rlquant_experiments.comparison.table_run import TableRun

OPTIMUM = Score(loss=0.5, accuracy=0.9, size_bytes=10, average_bits=3, size_ratio=0.1, bops=1)
SCALE = RegretScale(optimum=OPTIMUM, uniform=replace(OPTIMUM, loss=1.5, accuracy=0.6))


def run(searcher: str, *losses: float, seed: int = 0, notes: tuple[str, ...] = ()) -> TableRun:
    score = replace(OPTIMUM, loss=losses[-1])
    return TableRun(searcher, seed, score, np.array(losses), 4, 0.25, "evaluations", notes)


RUNS = {
    "random": [run("random", 3.5, 1.0, 0.9), run("random", 1.5, 1.5, 1.1, seed=1)],
    "tpe": [run("tpe", math.nan, 2.5, 0.5), run("tpe", 2.5, 2.5, 0.7, seed=1)],
    "uniform": [run("uniform", 1.5)],
    "knapsack": [run("knapsack", math.nan, 1.3, notes=("few were measured",))],
}


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


def test_means_and_order_are_those_of_the_runs() -> None:
    assert SCALE.mean_at(RUNS["random"], 1) == pytest.approx((3.0 + 1.0) / 2)
    assert SCALE.mean_at(RUNS["random"], 3) == pytest.approx((0.4 + 0.6) / 2)
    assert SCALE.mean_at(RUNS["uniform"], 3) == pytest.approx(1.0)  # it ended after one
    assert math.isnan(SCALE.mean_at(RUNS["tpe"], 1))
    assert SCALE.ranked(RUNS, 3) == ["tpe", "random", "knapsack", "uniform"]
    assert SCALE.ranked(RUNS, 1) == ["uniform", "random", "tpe", "knapsack"]


def test_the_table_shows_them() -> None:
    rows = regret_table(RUNS, SCALE, (1, 3)).splitlines()
    assert "| regret after 1 | regret after 3 | optimum found |" in rows[0]
    assert rows[2] == "| tpe | 2 | none yet | 0.1000 | 1 of 2 | 3 | 0.2 |"
    assert rows[3] == "| random | 2 | 2.0000 | 0.5000 | 0 of 2 | 3 | 0.2 |"
    assert rows[4] == "| knapsack | 1 | none yet | 0.8000 | 0 of 1 | 2 | 0.2 |"


def test_the_words_say_who_is_nearest_and_who_no_nearer_than_chance() -> None:
    words = regret_verdict(RUNS, SCALE, 3)
    assert words.startswith("After 3 evaluations tpe is nearest to the optimum: ")
    assert "10 % are left in the mean. Random search has 50 % left; no nearer than it: " in words
    assert words.endswith("uniform, knapsack.")
    assert "Random" not in regret_verdict({"tpe": RUNS["tpe"]}, SCALE, 3)


def test_the_section_of_a_budget_holds_all_of_it() -> None:
    problem = TabularProblem(random_table(4), Budget.average_bits(3.0))
    share = rlquant.probe(problem).shares[0]
    text = table_section(RUNS, SCALE, (1, 3), "figure.png", share)
    assert text.startswith("## Average bits 3\n\nOptimum: loss 0.5000, accuracy 0.9000. Uniform: ")
    for words in (str(share), "(figure.png)", "knapsack: few were measured.", "nearest"):
        assert words in text


def test_the_csv_holds_every_run() -> None:
    rows = list(csv.DictReader(io.StringIO(table_csv({"average bits 3": (RUNS, SCALE)}, (1, 3)))))
    assert len(rows) == 6
    first = rows[0]
    assert (first["budget"], first["searcher"], first["seed"]) == ("average bits 3", "random", "0")
    assert float(first["loss"]) == 0.9
    assert (float(first["optimum"]), float(first["uniform"])) == (0.5, 1.5)
    assert (float(first["regret_1"]), float(first["regret_3"])) == (3.0, pytest.approx(0.4))
    assert rows[2]["regret_1"] == "nan"


def test_marks_end_where_runs_end() -> None:
    assert marks_up_to(100) == (10, 30, 100)
    assert marks_up_to(80) == (10, 30, 80)
    assert marks_up_to(7) == (7,)
    assert marks_up_to(5000) == (10, 30, 100, 300, 1000, 5000)
