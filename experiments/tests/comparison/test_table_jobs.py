"""Many searches of tables: in several processes the same, kept at once, stopped and gone on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import SettingsError
from rlquant.testing import random_table
from rlquant_experiments.comparison.comparison_progress import RunsBar
from rlquant_experiments.comparison.table_jobs import run_jobs
from rlquant_experiments.comparison.table_run import TableJob, TableRun
from rlquant_experiments.comparison.variants import Variant


def jobs(folder: Path, seeds: int = 3, evaluations: int = 20) -> list[TableJob]:
    folder.mkdir(parents=True, exist_ok=True)
    problem = TabularProblem(random_table(5, interaction=1.0), Budget.average_bits(3.0))
    return [
        TableJob(problem, Variant.plain(name), seed, evaluations, folder / f"{name}-{seed}.json")
        for name in ("random", "nsga2")
        for seed in range(seeds)
    ]


def same(runs: list[TableRun] | None, others: list[TableRun] | None) -> bool:
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

    def interrupt(self: RunsBar) -> None:
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
    wrong = [*jobs(tmp_path), TableJob(jobs(tmp_path)[0].problem, Variant.plain("random"), -1, 5,
                                       tmp_path / "wrong.json")]  # fmt: skip
    with pytest.raises(SettingsError, match="seed=-1"):
        run_jobs(wrong, workers=2)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_table_jobs import jobs
from rlquant_experiments.comparison.table_jobs import run_jobs
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
