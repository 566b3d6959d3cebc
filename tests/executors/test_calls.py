"""Calls by workers: each result once, whatever happens to a worker."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from rlquant.errors import SettingsError, WorkerError
from rlquant.executors import parcel
from rlquant.executors.calls import Calls
from rlquant.executors.local import LocalExecutor
from rlquant.executors.workload import Workload
from worker_jobs import Jobs, Unwelcome, do

SCRIPT = """
import sys
from pathlib import Path
from rlquant.executors.calls import Calls
from rlquant.executors.local import LocalExecutor
from worker_jobs import Jobs, do

problem = Jobs(Path(sys.argv[1]), slow=2)
with LocalExecutor(1) as executor:
    for place, result in Calls(executor, do, problem).completed(range(1, 9)):
        print(place, result, flush=True)
"""


@pytest.fixture(scope="module")
def one() -> Iterator[LocalExecutor]:
    """A worker, which is expensive to start."""
    with LocalExecutor(1) as executor:
        yield executor


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
        time.sleep(0.02)


def test_a_killed_worker_is_replaced_and_its_item_tried_again(
    tmp_path: Path, one: LocalExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    deadly = Jobs(tmp_path, deadly=3)
    with caplog.at_level(logging.WARNING, "rlquant"):
        found = dict(Calls(one, do, deadly).completed([1, 2, 3, 4]))
    assert found == {0: 10, 1: 20, 2: 30, 3: 40}
    (warning,) = caplog.messages
    assert warning == "a worker was killed by SIGKILL; what it computed is tried again"
    assert [len(deadly.began(bits)) for bits in range(1, 5)] == [1, 1, 2, 1]


def test_an_item_that_kills_three_times_fails_with_the_reason_and_the_rest_goes_on(
    tmp_path: Path, one: LocalExecutor
) -> None:
    deadly = Jobs(tmp_path, deadly=1, lives=9)
    found = dict(Calls(one, do, deadly).completed([2, 1, 3], chunk=2))
    failed = found.pop(1)
    assert found == {0: 20, 2: 30}
    assert isinstance(failed, WorkerError)
    assert str(failed).startswith("the worker was killed by SIGKILL, 3 times: use fewer workers")
    assert len(deadly.began(1)) == 3


def test_a_worker_that_dies_between_two_calls_takes_no_item_with_it(
    tmp_path: Path, one: LocalExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls(one, do, Jobs(tmp_path))
    assert list(calls.completed([1])) == [(0, 10)]
    (worker,) = Jobs(tmp_path).began(1)
    (process,) = one._processes
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: process._pool._flags.broken)  # loky has noticed
    with caplog.at_level(logging.WARNING, "rlquant"):
        assert list(calls.completed([2])) == [(0, 20)]
    assert not caplog.messages


def test_workers_that_end_before_they_begin_are_not_started_for_ever(one: LocalExecutor) -> None:
    with pytest.raises(WorkerError, match="the worker ended with exit code 3, 3 times"):
        list(Calls(one, do, Unwelcome()).completed([1]))


def test_errors_come_back_as_themselves_or_in_words(tmp_path: Path, one: LocalExecutor) -> None:
    problem = Jobs(tmp_path, wrong=2, unsendable=3)
    calls = Calls(one, do, problem)
    completed = calls.completed([1, 2])
    assert next(completed) == (0, 10)
    with pytest.raises(ValueError, match="2 is wrong") as caught:
        next(completed)
    assert "worker_jobs.py" in str(caught.value.__cause__)
    with pytest.raises(WorkerError, match="process raised UnsendableError: 3: no reason"):
        list(calls.completed([3]))


def test_closed_calls_end_what_runs_at_once(tmp_path: Path, one: LocalExecutor) -> None:
    slow = Jobs(tmp_path, slow=2)
    completed = Calls(one, do, slow).completed([1, 2, 3])
    assert next(completed) == (0, 10)
    wait_until((tmp_path / "2").exists)
    (worker,) = slow.began(2)
    start = time.monotonic()
    completed.close()
    assert time.monotonic() - start < 3
    wait_until(lambda: not is_running(worker), 3)
    assert not (tmp_path / "3").exists()


def test_a_listener_hears_how_busy_workers_are(tmp_path: Path, one: LocalExecutor) -> None:
    heard: list[Workload] = []
    calls = Calls(one, do, Jobs(tmp_path), listener=heard.append)
    assert len(list(calls.completed([1, 2, 3]))) == 3
    assert (heard[0].workers, heard[0].running, heard[0].queued) == (1, 1, 2)
    assert (heard[-1].running, heard[-1].queued) == (0, 0)
    assert heard[-1].busy_seconds > 0


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
    (worker,) = Jobs(folder).began(1)
    assert running.stdout is not None
    printed = running.stdout.readline()  # it may take longer than the worker takes to go on
    os.killpg(running.pid, ending) if ending == signal.SIGINT else running.kill()
    out, err = running.communicate(timeout=10)
    assert printed + out == "0 10\n"
    assert running.returncode == -ending
    if ending == signal.SIGINT:  # one traceback, of the script alone
        assert err.count("Traceback") == 1
        assert err.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: not is_running(worker), 5)


def test_threads_of_this_process_are_workers_too(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        calls = Calls(executor, do, Jobs(tmp_path))
        assert calls.workers == 2
        assert dict(calls.completed([1, 2, 3])) == {0: 10, 1: 20, 2: 30}
        calls.close()
    assert calls._parcel.key not in parcel.OPENED._kept


def test_an_executor_that_replaces_nobody_says_so(tmp_path: Path) -> None:
    deadly = Jobs(tmp_path, deadly=1, lives=9)
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor,
        pytest.raises(WorkerError, match=r"executor is broken .* use executor='local:1'"),
    ):
        list(Calls(executor, do, deadly).completed([1]))


def test_what_cannot_be_pickled_is_refused_at_once(one: LocalExecutor) -> None:
    with pytest.raises(
        SettingsError, match=r"cannot be sent to other processes .* no executor|wit"
    ):
        Calls(one, do, (number for number in range(3)))


def test_no_item_needs_no_worker(tmp_path: Path) -> None:
    executor = LocalExecutor(1)
    assert list(Calls(executor, do, Jobs(tmp_path)).completed([])) == []
    executor.shutdown()


def test_a_parcel_is_opened_where_its_bytes_are_right_alone(tmp_path: Path) -> None:
    sent = parcel.Parcel([4])
    assert parcel.Opened().get(sent.key, str(sent.path)) == [4]
    assert parcel.Opened().get(sent.key, sent.path.read_bytes()) == [4]
    sent.path.write_bytes(b"something else")
    with pytest.raises(WorkerError, match="was sent something else"):
        parcel.Opened().get(sent.key, str(sent.path))
    sent.close()
    with pytest.raises(WorkerError, match="temporary folder"):
        parcel.Opened().get(sent.key, str(sent.path))


def test_a_worker_keeps_the_objects_that_were_used_last() -> None:
    opened, parcels = parcel.Opened(), [parcel.Parcel(number) for number in range(3)]
    assert [opened.get(sent.key, str(sent.path)) for sent in parcels] == [0, 1, 2]
    assert list(opened._kept) == [sent.key for sent in parcels[1:]]
    for sent in parcels:
        sent.close()
