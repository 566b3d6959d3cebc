"""Ctrl-C falls between two steps of the book-keeping."""

from __future__ import annotations

import csv
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlquant_agents import (
    Callback,
    Evaluation,
    SearchResult,
    Session,
    make_searcher,
    search_problem,
)
from rlquant_agents.search.interrupts import Uninterrupted, interrupts_held
from toy_problem import ToyProblem


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
