"""Fronts: what each way asks, what is measured of them, and what the report says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem, random_table
from rlquant_experiments.comparison.statistics.front_report import front_report
from rlquant_experiments.comparison.statistics.fronts import (
    WAYS,
    front_jobs,
    front_volumes,
    volume_of,
)

TABLE = TabularProblem(random_table(3, 6, seed=1), Budget.average_bits(6.0))
BETWEEN = (2.5, 6.0)


def test_the_tables_own_front_is_all_there_is() -> None:
    front = [score for _, score in TABLE.pareto()]
    assert volume_of(TABLE, BETWEEN, front) == pytest.approx(1.0)
    assert volume_of(TABLE, BETWEEN, front[1:4]) < 1.0
    assert volume_of(TABLE, BETWEEN, []) == 0.0


@pytest.mark.parametrize(("way", "least"), [*((w, 0.3) for w in WAYS if "dyna" not in w),
                                            ("dyna-ppo, every budget", 0.95)])  # fmt: skip
def test_every_way_stays_within_its_evaluations_and_finds_something(
    way: str, least: float, tmp_path: Path
) -> None:
    runs = [job.run() for job in front_jobs(TABLE, way, BETWEEN, 36, 0, tmp_path / "run")]
    assert sum(len(run.curve) for run in runs) <= 36
    assert least < volume_of(TABLE, BETWEEN, [s for run in runs for s in run.front]) <= 1.0


def test_volumes_are_those_of_each_way_seed_and_problem_and_kept(tmp_path: Path) -> None:
    other = TabularProblem(random_table(3, 6, seed=2), Budget.average_bits(6.0))
    problems, ways = {"one": TABLE, "other": other}, ("nsga2", "random, split")
    found = front_volumes(problems, ways, BETWEEN, 36, 2, tmp_path)
    assert found is not None
    assert found["nsga2"].shape == (2, 2)
    runs = [j.run() for j in front_jobs(other, "random, split", BETWEEN, 36, 1, tmp_path / "x")]
    scores = [score for run in runs for score in run.front]
    assert found["random, split"][1, 1] == volume_of(other, BETWEEN, scores)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("o*.json")}
    assert len(kept) == 2 * 2 * (1 + 6)
    again = front_volumes(problems, ways, BETWEEN, 36, 2, tmp_path)
    assert again is not None
    assert all(np.array_equal(again[way], found[way]) for way in ways)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_on_a_live_problem_the_rectangle_is_that_of_float_and_cheapest() -> None:
    problem, between = ToyProblem(3, 40.0), (3.0, 7.0)
    feasible = problem.feasible
    most_expensive = problem.evaluate(feasible.config(feasible.costs.argmax(axis=1)))
    assert volume_of(problem, between, [most_expensive]) == 0.0  # costs more than 7
    cheapest = problem.evaluate(feasible.config(feasible.costs.argmin(axis=1)))
    assert volume_of(problem, between, [cheapest]) == 0.0  # is the corner
    score = problem.evaluate(feasible.config(np.array([1, 1, 1])))
    wide = (7.0 - max(3.0, score.average_bits)) / 4.0
    worst = np.log(cheapest.loss)
    high = (worst - np.log(score.loss)) / (worst - np.log(problem.float_score.loss))
    assert volume_of(problem, between, [score]) == pytest.approx(wide * high)


def test_a_live_problem_without_area_is_refused() -> None:
    with pytest.raises(SettingsError, match="no front can be measured"):
        volume_of(ToyProblem(2, 40.0), (9.0, 8.0), [])


def test_the_report_pairs_seeds_and_says_who_dominates_more() -> None:
    rise = 0.01 * np.arange(4)[:, None] * np.ones((1, 3))
    volumes = {
        "dyna-ppo, every budget": 0.9 + rise,
        "nsga2": 0.8 + rise,
        "random, split": 0.9 + 0 * rise,
    }
    report = front_report(volumes, BETWEEN, 36, ["python", "x.py"], 1)
    assert "4 seeds on 3 problems" in report.text
    assert "| nsga2 | 0.8150" in report.text
    assert "+0.1000" in report.text
    assert "It dominates more than nsga2; random, split." in report.text
    assert report.figures[""].startswith(b"\x89PNG")
