"""Runs: kept when they end, read as they were, the same in several processes, resumed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import FileFormatError, SettingsError
from rlquant.testing import random_table
from rlquant_agents import Callback, Evaluation, Session, make_searcher
from rlquant_agents.search.curves import best_losses
from rlquant_experiments.comparison.comparison_progress import RunsBar
from rlquant_experiments.comparison.runs import Job, Run, _KeptRun, run_jobs
from rlquant_experiments.comparison.variants import Variant


def job(path: Path, **other: object) -> Job:
    problem = TabularProblem(random_table(4), Budget.average_bits(3.0))
    plain = Job(problem, Variant.plain("random"), seed=1, evaluations=12, path=path / "run.json")
    return replace(plain, **other)  # type: ignore[arg-type]


class Interrupting(Callback):
    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        if evaluation.number == 5:
            raise KeyboardInterrupt


def test_a_run_is_what_the_searcher_finds(tmp_path: Path) -> None:
    one = job(tmp_path)
    run = one.run()
    result = make_searcher("random").search(one.problem, 12, 1)
    assert run.score == result.score
    assert len(run.curve) == 12
    assert run.curve[-1] == run.loss_at(12) == run.loss_at(1000) == result.score.loss
    assert run.loss_at(1) == result.history[0].score.loss


@pytest.mark.parametrize("searcher", ["random", "knapsack"])
def test_a_kept_run_is_read_as_it_was(tmp_path: Path, searcher: str) -> None:
    one = job(tmp_path, variant=Variant.plain(searcher))
    assert one.read() is None
    run, again = one.run(), one.read()
    assert again is not None
    assert np.array_equal(run.curve, again.curve, equal_nan=True)
    for name in ("searcher", "seed", "config", "score", "episodes", "stopped", "notes"):
        assert getattr(run, name) == getattr(again, name)


def test_a_curve_that_begins_over_the_budget_is_kept(tmp_path: Path) -> None:
    one = job(tmp_path)
    run = replace(one.run(), curve=np.array([math.nan, 0.5]))
    found = _KeptRun.of(run).run().curve
    assert np.array_equal(found, run.curve, equal_nan=True)


def test_a_run_ends_at_the_optimum_and_keeps_its_curve_till_then(tmp_path: Path) -> None:
    problem = job(tmp_path).problem
    assert isinstance(problem, TabularProblem)
    one = job(tmp_path, evaluations=10**4, optimum=problem.optimum()[1].loss)
    seen: list[float] = []

    class Watching(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            seen.append(evaluation.score.loss)

    run = one.run(Watching())
    assert run.stopped == "optimum"
    assert run.score == problem.optimum()[1]
    assert len(seen) == len(run.curve) < problem.feasible.count()
    assert seen[-1] == run.curve[-1] == run.score.loss < min(seen[:-1])


def test_a_variant_runs_with_its_settings_under_its_label(tmp_path: Path) -> None:
    variant = Variant("few", "tpe", {"startup": 3})
    one = job(tmp_path, variant=variant)
    run, again = one.run(), one.read()
    assert again is not None
    assert run.searcher == again.searcher == "few"
    result = make_searcher("tpe", startup=3).search(one.problem, 12, seed=1)
    assert run.curve.tolist() == best_losses(result.history).tolist()
    with pytest.raises(SettingsError, match=r"searcher_settings\.startup was 3 and is 4 now"):
        job(tmp_path, variant=Variant("few", "tpe", {"startup": 4})).read()


def test_an_interrupted_run_is_not_kept(tmp_path: Path) -> None:
    one = job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        one.run(Interrupting())
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
    with pytest.raises(FileFormatError, match="no run of a comparison"):
        one.read()


def jobs(folder: Path, seeds: int = 3, evaluations: int = 20) -> list[Job]:
    folder.mkdir(parents=True, exist_ok=True)
    problem = TabularProblem(random_table(5, interaction=1.0), Budget.average_bits(3.0))
    return [
        Job(problem, Variant.plain(name), seed, evaluations, folder / f"{name}-{seed}.json")
        for name in ("random", "nsga2")
        for seed in range(seeds)
    ]


def same(runs: list[Run] | None, others: list[Run] | None) -> bool:
    assert runs is not None
    assert others is not None
    return len(runs) == len(others) and all(
        (a.searcher, a.seed, a.score) == (b.searcher, b.seed, b.score)
        and np.array_equal(a.curve, b.curve, equal_nan=True)
        for a, b in zip(runs, others, strict=True)
    )


def test_runs_are_the_same_in_several_processes(tmp_path: Path) -> None:
    alone = run_jobs(jobs(tmp_path / "alone"))
    assert same(run_jobs(jobs(tmp_path / "two"), workers=2), alone)
    assert same(run_jobs(jobs(tmp_path / "two"), workers=2), alone)  # as they were kept


def test_only_what_is_missing_is_run(tmp_path: Path) -> None:
    first = run_jobs(jobs(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    gone = tmp_path / "nsga2-1.json"
    gone.unlink()
    assert same(run_jobs(jobs(tmp_path)), first)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert [path for path in before if after[path] != before[path]] == [gone]


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_and_gone_on_is_as_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    ended = []

    def interrupt(self: RunsBar, name: str) -> None:
        ended.append(1)
        if len(ended) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunsBar, "end", interrupt)
    assert run_jobs(jobs(tmp_path / "stopped"), workers) is None
    kept = list((tmp_path / "stopped").glob("*.json"))
    assert len(kept) >= 2
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in kept}
    again = run_jobs(jobs(tmp_path / "stopped"))
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert same(again, run_jobs(jobs(tmp_path / "whole")))


def test_an_error_of_another_process_is_raised_here(tmp_path: Path) -> None:
    wrong = [*jobs(tmp_path), Job(jobs(tmp_path)[0].problem, Variant.plain("random"), -1, 5,
                                       tmp_path / "wrong.json")]  # fmt: skip
    with pytest.raises(SettingsError, match="seed=-1"):
        run_jobs(wrong, workers=2)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_runs import jobs
from rlquant_experiments.comparison.runs import run_jobs
if __name__ == "__main__":
    print(run_jobs(jobs(Path({out!r}), seeds=400, evaluations=60), workers=2), flush=True)
"""


def alive(session: int) -> list[str]:
    """Processes of a session that have not ended."""
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                states.append(path.parent.name)
    return states


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_interrupted_as_in_a_terminal_all_processes_end(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), out=str(out)))
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.json"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        shown, _ = process.communicate(timeout=30)
    assert shown.decode().strip() == "None"
    assert 3 <= len(list(out.glob("*.json"))) < 800
    deadline = time.monotonic() + 10
    while (left := alive(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
