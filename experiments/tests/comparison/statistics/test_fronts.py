"""Fronts compared: what each way asks, what is kept, and what the report says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import FileFormatError, SettingsError
from rlquant.testing import ToyProblem, random_table
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Callback, Session
from rlquant_experiments.comparison.statistics.front_report import front_report, volumes_by_way
from rlquant_experiments.comparison.statistics.fronts import WAYS, FrontJob, FrontTask, volume_of

TABLE = TabularProblem(random_table(3, 6, seed=1), Budget.average_bits(6.0))
TASK = FrontTask(TABLE, 2.5, 6.0, 36, 0)


def test_the_tables_own_front_is_all_there_is() -> None:
    assert volume_of(TASK, TABLE.pareto()) == pytest.approx(1.0)
    assert volume_of(TASK, TABLE.pareto()[1:4]) < 1.0
    assert volume_of(TASK, []) == 0.0


@pytest.mark.parametrize("way", [way for way in WAYS if "dyna" not in way])
def test_every_way_stays_within_its_evaluations_and_finds_something(way: str) -> None:
    found = WAYS[way](TASK, None)
    assert 0 < len(found) <= TASK.evaluations
    assert 0.3 < volume_of(TASK, found) <= 1.0


def test_one_agent_for_every_budget_finds_most_of_the_front() -> None:
    found = WAYS["dyna-ppo, every budget"](TASK, None)
    assert volume_of(TASK, found) > 0.95


def test_on_a_live_problem_the_rectangle_is_that_of_float_and_cheapest() -> None:
    problem = ToyProblem(3, 40.0)
    task = FrontTask(problem, 3.0, 7.0, 20, 0)
    feasible = problem.feasible
    most_expensive = feasible.config(feasible.costs.argmax(axis=1))
    assert (
        volume_of(task, [(most_expensive, problem.evaluate(most_expensive))]) == 0.0
    )  # costs more than 7
    cheapest = feasible.config(feasible.costs.argmin(axis=1))
    assert volume_of(task, [(cheapest, problem.evaluate(cheapest))]) == 0.0  # is the corner
    some = feasible.config(np.array([1, 1, 1]))
    score = problem.evaluate(some)
    wide = (7.0 - max(3.0, score.average_bits)) / 4.0
    worst = np.log(problem.evaluate(cheapest).loss)
    high = (worst - np.log(score.loss)) / (worst - np.log(problem.float_score.loss))
    assert volume_of(task, [(some, score)]) == pytest.approx(wide * high)


def test_a_job_is_kept_and_another_one_is_refused(tmp_path: Path) -> None:
    job = FrontJob("made-up", TASK, "random, split", tmp_path / "run.json")
    found = job.run()
    document = json.loads(job.path.read_text())
    document["hypervolume"] = 0.125
    job.path.write_text(json.dumps(document))
    assert job.run() == 0.125 != found
    with pytest.raises(FileFormatError, match="another search"):
        FrontJob("made-up", TASK, "nsga2", job.path).run()
    job.path.write_text("{")
    with pytest.raises(FileFormatError, match="no search for a front"):
        job.run()


def test_a_live_problem_without_area_is_refused() -> None:
    problem = ToyProblem(2, 40.0)
    with pytest.raises(SettingsError, match="no front can be judged"):
        volume_of(FrontTask(problem, 9.0, 8.0, 20, 0), [])


def test_the_report_pairs_seeds_and_says_who_dominates_more() -> None:
    other = TabularProblem(random_table(3, 6, seed=2), Budget.average_bits(6.0))
    jobs, volumes = [], []
    for name, problem in (("one", TABLE), ("the same network", TABLE), ("other", other)):
        for way, level in (("dyna-ppo, every budget", 0.9), ("nsga2", 0.8), ("random, split", 0.9)):
            for seed in range(4):
                task = FrontTask(problem, 2.5, 6.0, 36, seed)
                jobs.append(FrontJob(name, task, way, Path("none")))
                volumes.append(level + 0.01 * seed * (way != "random, split"))
    found = volumes_by_way(jobs, volumes)
    assert found["nsga2"].shape == (4, 3)
    assert found["nsga2"][3].tolist() == pytest.approx([0.83, 0.83, 0.83])
    text, figure = front_report(jobs, volumes, ["python", "x.py"], 1)
    assert "| nsga2 | 0.8150" in text
    assert "+0.1000" in text
    assert "It dominates more than nsga2; random, split." in text
    assert figure.startswith(b"\x89PNG")


def test_an_interrupted_search_for_a_front_keeps_nothing(tmp_path: Path) -> None:
    class Interrupting(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            raise KeyboardInterrupt

    job = FrontJob("made-up", TASK, "random, split", tmp_path / "run.json")
    assert job.run(Interrupting()) is None
    assert not job.path.exists()
