"""Ctrl-C between two steps of the book-keeping, never in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.session import Callback, Session


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, then let it act.

    A KeyboardInterrupt may be raised between any two instructions: half a row would be written, and
    TensorBoard's queue, cut in two, makes its writer wait for two minutes.
    """
    previous = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or not callable(previous):  # elsewhere Ctrl-C never arrives
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if held:
            previous(*held[0])


class Uninterrupted(Callback):
    """Tells another callback with Ctrl-C held back."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self.log_folder = callback.log_folder

    def on_start(self, session: Session) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.on_start(session)

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.on_evaluation(session, evaluation)

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.on_end(session, result)

    def close(self) -> None:
        """Pass on."""
        with interrupts_held():
            self._callback.close()
