"""Jobs made in several processes: none outlives this one, and Ctrl-C ends all of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event
from typing import Any, Protocol, TypeVar

import torch

from rlquant.errors import WorkerError
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Callback, Session

DEAF_TO = {signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)}

Made = TypeVar("Made")
Made_co = TypeVar("Made_co", covariant=True)


class Job(Protocol[Made_co]):
    """Searches, and keeps what it finds."""

    def run(self, callback: Callback | None = None) -> Made_co | None:
        """Return what is found, None when interrupted; `callback` hears every evaluation."""


def side_by_side(
    jobs: Sequence[Job[Made]], workers: int
) -> Generator[tuple[int, Made], None, None]:
    """Yield places of jobs with what they made, in the order in which they end.

    Processes are spawned: a script that asks for them keeps what it runs under
    `if __name__ == "__main__":`. They end when this generator does.

    Args:
        jobs: independent of each other; they can be pickled.
        workers: processes.

    Raises:
        WorkerError: a process ended by itself, e.g. killed for its memory.
        KeyboardInterrupt: a job was interrupted.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    given = (list(jobs), stop, torch.get_num_threads())
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, given) as pool:
        with _deaf_children():
            futures = {pool.submit(_run, place): place for place in range(len(jobs))}
        try:
            for future in as_completed(futures):
                yield futures[future], _finished(future.result())
        except BrokenProcessPool as error:
            raise WorkerError(
                "a process of a comparison ended by itself, perhaps for want of memory; what had "
                "run is kept: the same command goes on, with fewer --workers if need be"
            ) from error
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that are started in the block hear nothing before they can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finished(made: Made | None) -> Made:
    if made is None:
        raise KeyboardInterrupt
    return made


# --- in the other processes

_given: tuple[Sequence[Job[Any]], Callback]
"""What this process was given when it began: all jobs at once, so that they share tables."""


class _Stopping(Callback):
    """Ends a search, as Ctrl-C would, when the comparison has ended."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """End where no more is wanted."""
        if self._stop.is_set():
            raise KeyboardInterrupt


def _begin(jobs: Sequence[Job[Any]], stop: Event, threads: int) -> None:
    global _given
    for number in DEAF_TO:  # they reach all of a terminal; one process is to answer
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _given = jobs, _Stopping(stop)


def _run(place: int) -> Any:
    jobs, stopping = _given
    return jobs[place].run(stopping)


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
