"""Ctrl-C, and the signals that ask a process to end: between two steps of the book-keeping only."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rlquant.executors.workload import Workload
from rlquant_agents.search.event_log import EventLog
from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.session import Callback, Session

ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""What a scheduler, a supervisor or a closed terminal sends."""
ONE_REQUEST = 0.1
"""Seconds in which several signals are one request: timeout(1) and shells send each twice."""


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Have the signals that end a process act as Ctrl-C in the block; the second one ends it.

    A signal that is ignored (SIGHUP under nohup) or has a handler of the program's own is left
    alone, and so is everything outside the main thread, which hears no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]

    first: list[float] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not first:
            first.append(time.monotonic())
            raise KeyboardInterrupt(f"signal {signal.Signals(number).name}")
        if time.monotonic() - first[0] > ONE_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def interrupts_held(*, unless: bool = False) -> Iterator[None]:
    """Hold Ctrl-C and its like back until the block is done, then let them act.

    A KeyboardInterrupt may be raised between any two instructions: half a row would be written.
    Whoever presses again while one is held does not wait: the second acts at once.

    Args:
        unless: hold nothing, because somebody asked for the end before.
    """
    if unless or threading.current_thread() is not threading.main_thread():
        yield  # in other threads no signal arrives
        return
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, *ENDING)}
    previous = {number: handler for number, handler in handlers.items() if callable(handler)}
    held: list[tuple[int, FrameType | None]] = []
    since = 0.0

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal since
        if not held:
            since = time.monotonic()
            held.append((number, frame))
        elif time.monotonic() - since > ONE_REQUEST:
            held.clear()
            _restore(previous)
            previous[number](number, frame)

    for number in previous:
        signal.signal(number, hold)
    try:
        yield
    finally:
        _restore(previous)
        for number, frame in held:
            previous[number](number, frame)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Uninterrupted(Callback):
    """Tells another callback with interrupts held back, until one has ended the search."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._ended = False

    @property
    def event_log(self) -> EventLog | None:
        """That of the other."""
        return self._callback.event_log

    def on_start(self, session: Session) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.on_start(session)

    def on_progress(self, session: Session, stage: str, done: int, total: int) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.on_progress(session, stage, done, total)

    def on_workload(self, session: Session, workload: Workload) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.on_workload(session, workload)

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.on_evaluation(session, evaluation)

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Pass on."""
        self._ended = result.stopped == "interrupted"
        with interrupts_held(unless=self._ended):
            self._callback.on_end(session, result)

    def close(self) -> None:
        """Pass on."""
        with interrupts_held(unless=self._ended):
            self._callback.close()
