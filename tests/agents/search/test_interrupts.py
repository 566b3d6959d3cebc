"""Ctrl-C falls between two steps of the book-keeping."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rlquant.folder_lock import held
from rlquant.testing import ToyProblem
from rlquant_agents import (
    Callback,
    Evaluation,
    SearchResult,
    Session,
    make_searcher,
    search_problem,
)
from rlquant_agents.search import interrupts
from rlquant_agents.search.interrupts import Uninterrupted, interrupts_held, signals_interrupt


@pytest.fixture(autouse=True)
def _ctrl_c_acts() -> Iterator[None]:
    """A shell's background jobs start with Ctrl-C ignored; these tests need it to act."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    done = []

    def work() -> None:
        with interrupts_held():
            press_ctrl_c()
            done.append(1)
            press_ctrl_c()
            done.append(2)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_block_without_ctrl_c_changes_nothing() -> None:
    with interrupts_held():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_the_block_keeps_the_handler() -> None:
    with pytest.raises(ZeroDivisionError), interrupts_held():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held():
            press_ctrl_c()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_other_threads_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with interrupts_held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_whoever_presses_again_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "ONE_REQUEST", 0.0)
    done = []

    def work() -> None:
        with interrupts_held():
            press_ctrl_c()
            done.append(1)
            press_ctrl_c()
            done.append(2)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_after_an_interruption_nothing_is_held() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_held(unless=True):
        press_ctrl_c()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_ctrl_c_in_the_block_alone(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt, match=number.name), signals_interrupt():
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_held_as_ctrl_c_is(number: signal.Signals) -> None:
    done = []

    def work() -> None:
        with interrupts_held():
            signal.raise_signal(number)
            done.append(1)

    with pytest.raises(KeyboardInterrupt), signals_interrupt():
        work()
    assert done == [1]
    assert signal.getsignal(number) is signal.SIG_DFL


def test_two_requests_at_once_are_one() -> None:
    with signals_interrupt():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_what_is_ignored_or_handled_by_the_program_stays_so(handler: Any) -> None:
    previous = signal.signal(signal.SIGHUP, handler)
    try:
        with signals_interrupt():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is handler
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_other_threads_leave_requests_to_end_alone() -> None:
    seen = []

    def work() -> None:
        with signals_interrupt():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


SEARCHING = """
import sys, time
from rlquant.testing import ToyProblem
from rlquant_agents import Callback, search_problem
from rlquant_agents.runs import run_folder

run_folder.write_run = lambda path: None  # a report takes longer than all the rest

class Slow(Callback):
    def on_evaluation(self, session, evaluation):
        print(evaluation.number, flush=True)

    def on_end(self, session, result):
        print("end", flush=True)
        time.sleep(float(sys.argv[3]))

class SlowProblem(ToyProblem):
    def evaluate(self, config):
        time.sleep(0.05)
        return super().evaluate(config)

result = search_problem(
    SlowProblem(6), searcher="random", evaluations=2000, out=sys.argv[1], callback=Slow()
)
print(result.stopped)
"""


@contextmanager
def searching(folder: Path, end: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """A process that searches, at its third evaluation; the end takes it `end` seconds."""
    tests = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SEARCHING, str(folder), tests, str(end)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "3\n":
                break
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_search_that_is_asked_to_end_writes_its_result(
    tmp_path: Path, number: signal.Signals
) -> None:
    with searching(tmp_path) as process:
        process.send_signal(number)
        process.send_signal(number)  # as timeout(1) and closing terminals do
        said, _ = process.communicate()
    assert process.returncode == 0
    assert said.endswith("interrupted\n")
    assert json.loads((tmp_path / "result.json").read_text())["stopped"] == "interrupted"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_second_request_to_end_ends_at_once(tmp_path: Path) -> None:
    with searching(tmp_path, end=60.0) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        for line in process.stdout:
            if line == "end\n":
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
    with held(tmp_path):
        pass


def test_the_evaluation_in_which_ctrl_c_came_is_written_whole(tmp_path: Path) -> None:
    heard = []

    class Press(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            if evaluation.number == 4:
                press_ctrl_c()
            heard.append(evaluation.number)

    result = search_problem(
        ToyProblem(3), searcher="random", evaluations=9, out=tmp_path, callback=Press()
    )
    assert (result.stopped, heard) == ("interrupted", [1, 2, 3, 4])
    with open(tmp_path / "evaluations.csv", newline="", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 4
    assert (tmp_path / "result.json").exists()


def test_every_step_of_the_callback_is_passed_on() -> None:
    heard: list[str] = []

    class Listening(Callback):
        def on_start(self, session: Session) -> None:
            heard.append("start")

        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            heard.append("evaluation")

        def on_end(self, session: Session, result: SearchResult) -> None:
            heard.append("end")

        def close(self) -> None:
            heard.append("close")

    make_searcher("random").search(ToyProblem(), 2, 0, Uninterrupted(Listening()))
    assert heard == ["start", "evaluation", "evaluation", "end", "close"]
