"""A search of a table is kept when it ends, and read as it was."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import FileFormatError, SettingsError
from rlquant.testing import random_table
from rlquant_agents import Callback, Evaluation, Session, make_searcher
from rlquant_agents.search.curves import best_losses
from rlquant_experiments.comparison.table_run import TableJob
from rlquant_experiments.comparison.variants import Variant


def job(path: Path, **other: object) -> TableJob:
    problem = TabularProblem(random_table(4), Budget.average_bits(3.0))
    plain = TableJob(
        problem, Variant.plain("random"), seed=1, evaluations=12, path=path / "run.json"
    )
    return replace(plain, **other)  # type: ignore[arg-type]


class Interrupting(Callback):
    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        if evaluation.number == 5:
            raise KeyboardInterrupt


def test_a_run_is_what_the_searcher_finds(tmp_path: Path) -> None:
    one = job(tmp_path)
    run = one.run()
    assert run is not None
    result = make_searcher("random").search(one.problem, 12, 1)
    assert run.score == result.score
    assert len(run.curve) == 12
    assert run.curve[-1] == run.loss_at(12) == run.loss_at(1000) == result.score.loss
    assert run.loss_at(1) == result.history[0].score.loss


@pytest.mark.parametrize("searcher", ["random", "knapsack"])  # the second begins over the budget
def test_a_kept_run_is_read_as_it_was(tmp_path: Path, searcher: str) -> None:
    one = job(tmp_path, variant=Variant.plain(searcher))
    assert one.read() is None
    run, again = one.run(), one.read()
    assert run is not None
    assert again is not None
    assert math.isnan(run.curve[0]) is (searcher == "knapsack")
    assert np.array_equal(run.curve, again.curve, equal_nan=True)
    for name in ("searcher", "seed", "score", "episodes", "seconds", "stopped", "notes"):
        assert getattr(run, name) == getattr(again, name)


def test_a_run_ends_at_the_optimum_and_keeps_its_curve_till_then(tmp_path: Path) -> None:
    one = job(tmp_path, evaluations=10**4)
    seen: list[float] = []

    class Watching(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            seen.append(evaluation.score.loss)

    run = one.run(Watching())
    assert run is not None
    assert run.stopped == "optimum"
    assert run.score == one.problem.optimum()[1]
    assert len(seen) == len(run.curve) < one.problem.feasible.count()
    assert seen[-1] == run.curve[-1] == run.score.loss < min(seen[:-1])


def test_a_variant_runs_with_its_settings_under_its_label(tmp_path: Path) -> None:
    variant = Variant("few", "tpe", {"startup": 3})
    one = job(tmp_path, variant=variant)
    run, again = one.run(), one.read()
    assert run is not None
    assert again is not None
    assert run.searcher == again.searcher == "few"
    result = make_searcher("tpe", startup=3).search(one.problem, 12, seed=1)
    # a run on a table ends at the optimum
    assert run.curve.tolist() == best_losses(result.history).tolist()[: len(run.curve)]
    with pytest.raises(SettingsError, match=r"searcher_settings\.startup was 3 and is 4 now"):
        job(tmp_path, variant=Variant("few", "tpe", {"startup": 4})).read()


def test_an_interrupted_run_is_not_kept(tmp_path: Path) -> None:
    one = job(tmp_path)
    assert one.run(Interrupting()) is None
    assert one.read() is None


def test_a_run_of_other_evaluations_is_made_again(tmp_path: Path) -> None:
    job(tmp_path).run()
    assert job(tmp_path, evaluations=13).read() is None


def test_another_run_in_its_place_is_refused(tmp_path: Path) -> None:
    job(tmp_path).run()
    with pytest.raises(SettingsError, match=r"run\.json holds another run: seed was 1 and is 2"):
        job(tmp_path, seed=2).read()
    other = TabularProblem(random_table(4, seed=1), Budget.average_bits(3.0))
    with pytest.raises(SettingsError, match="problem was"):
        job(tmp_path, problem=other).read()


@pytest.mark.parametrize("text", ["{}", "[1]", '{"settings": 3}', "no JSON"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    one = job(tmp_path)
    one.path.write_text(text)
    with pytest.raises(FileFormatError, match=r"run\.json: no .* move it away"):
        one.read()


def test_a_file_without_a_part_of_the_run_is_damaged(tmp_path: Path) -> None:
    one = job(tmp_path)
    one.run()
    document = json.loads(one.path.read_text())
    del document["run"]["curve"]
    one.path.write_text(json.dumps(document))
    with pytest.raises(FileFormatError, match="no run of a table"):
        one.read()
