"""Evaluation in spawned processes: the same numbers, whatever happens to a process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from problems import problem
from rlquant.errors import SettingsError, WorkerError
from rlquant.evaluation.workers import measure_with_workers
from rlquant.score import Measurement
from worker_problems import BitsProblem, Unwelcome, widths

SCRIPT = """
import sys
from pathlib import Path
from rlquant.evaluation.workers import measure_with_workers
from worker_problems import BitsProblem, widths

def main():
    problem = BitsProblem(Path(sys.argv[1]), slow=2)
    for index, measured in measure_with_workers(problem, widths(1, 2, 3, 4, 5, 6, 7, 8), 1):
        print(index, measured.loss, flush=True)

if __name__ == "__main__":
    main()
"""


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_processes_measure_what_this_one_does_to_the_last_bit(tmp_path: Path) -> None:
    sent = problem("conv", store=tmp_path / "store.db")
    draw = np.random.default_rng(0)
    configs = [sent.feasible.config(sent.feasible.sample(draw)) for _ in range(12)]
    found = dict(measure_with_workers(sent, configs, 2))
    assert sorted(found) == list(range(12))
    assert sent.store is not None
    assert sent.store.count(sent.fingerprint) == len(set(configs))
    assert not multiprocessing.active_children()
    here = problem("conv")
    for i, config in enumerate(configs):
        score = here.evaluate(config)
        assert found[i] == Measurement(score.loss, score.accuracy, score.samples)


def test_a_killed_process_is_replaced_and_its_configuration_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deadly = BitsProblem(tmp_path, deadly=5)
    with caplog.at_level(logging.WARNING, "rlquant"):
        found = dict(measure_with_workers(deadly, widths(*range(1, 9)), 1))
    assert {index: measured.loss for index, measured in found.items()} == dict(
        enumerate(range(1, 9))
    )
    (warning,) = caplog.messages
    assert warning == "a worker process was killed by SIGKILL; another one takes its place"
    assert [len(deadly.began(bits)) for bits in range(1, 9)] == [1, 1, 1, 1, 2, 1, 1, 1]


def test_a_configuration_that_kills_twice_is_named(tmp_path: Path) -> None:
    deadly = BitsProblem(tmp_path, deadly=3, lives=2)
    with pytest.raises(
        WorkerError, match=r"item 2 of 4 twice .*, which was killed by SIGKILL: use"
    ) as caught:
        list(measure_with_workers(deadly, widths(1, 2, 3, 4), 1))
    assert repr(widths(3)[0]) in str(caught.value)
    assert not multiprocessing.active_children()


def test_an_error_comes_back_as_itself_and_ends_the_processes(tmp_path: Path) -> None:
    results = measure_with_workers(BitsProblem(tmp_path, wrong=2), widths(1, 2, 3, 4), 1)
    assert next(results) == (0, Measurement(1, 0, 0))
    with pytest.raises(ValueError, match="2 bits are wrong") as caught:
        next(results)
    assert str(caught.value) == "2 bits are wrong"
    (note,) = caught.value.__notes__
    assert widths(2)[0].to_json() in note
    assert "worker_problems.py" in str(caught.value.__cause__)
    assert not multiprocessing.active_children()


def test_an_error_that_cannot_be_sent_is_told_in_words(tmp_path: Path) -> None:
    results = measure_with_workers(BitsProblem(tmp_path, unsendable=1), widths(1), 1)
    with pytest.raises(WorkerError, match="process raised UnsendableError: 1 bits: no reason"):
        next(results)


def test_processes_that_end_before_they_begin_are_not_started_for_ever() -> None:
    with pytest.raises(WorkerError, match=r"which ended with exit code 3: .* no process can begin"):
        list(measure_with_workers(Unwelcome(), widths(1, 2), 1))
    assert not multiprocessing.active_children()


def test_a_closed_iterator_leaves_no_process(tmp_path: Path) -> None:
    slow = BitsProblem(tmp_path, slow=2)
    results = measure_with_workers(slow, widths(1, 2), 1)
    assert next(results)[0] == 0
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 3
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
def test_a_plain_script_that_is_ended_leaves_no_process(
    tmp_path: Path, ending: signal.Signals
) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "began"
    folder.mkdir()
    script.write_text(SCRIPT, encoding="utf-8")
    running = subprocess.Popen(
        [sys.executable, script, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    )
    wait_until((folder / "2").exists)
    (worker,) = BitsProblem(folder).began(1)
    assert running.stdout is not None
    printed = running.stdout.readline()  # it may take longer than the worker takes to go on
    os.killpg(running.pid, ending) if ending == signal.SIGINT else running.kill()
    out, err = running.communicate(timeout=10)
    assert printed + out == "0 1\n"
    assert running.returncode == -ending
    if ending == signal.SIGINT:  # one traceback, of the script alone
        assert err.count("Traceback") == 1
        assert err.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: not is_running(worker), 5)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_workers_is_refused_at_once(tmp_path: Path, workers: int) -> None:
    with pytest.raises(SettingsError, match=r"workers=.*whole number of at least 1"):
        measure_with_workers(BitsProblem(tmp_path), widths(1), workers)


def test_a_problem_that_cannot_be_pickled_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match=r"cannot be sent to other processes.*use workers=1"):
        measure_with_workers(problem(objective=lambda outputs, _: (outputs.sum(),) * 2), [], 1)


def test_no_configuration_needs_no_process(tmp_path: Path) -> None:
    assert list(measure_with_workers(BitsProblem(tmp_path), [], 2)) == []
