"""Many searches of tables: those that were kept are read, the others run, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event

import torch

from rlquant.errors import WorkerError
from rlquant_agents.comparison_progress import RunsBar
from rlquant_agents.result import Evaluation
from rlquant_agents.session import Callback, Session
from rlquant_agents.table_run import TableJob, TableRun


def run_jobs(jobs: Sequence[TableJob], workers: int = 1) -> list[TableRun] | None:
    """Return every run, those that were kept and those that are made; None when interrupted.

    Each run is kept the moment it ends. Runs do not depend on each other, so they are the same in
    however many processes they are made. Processes are spawned: a script that asks for them keeps
    what it runs under `if __name__ == "__main__":`, and a searcher that it registered by itself is
    unknown in them.

    Args:
        jobs: the runs.
        workers: processes that make them; with 1 it is this one.

    Raises:
        WorkerError: a process ended by itself, e.g. killed for its memory.
        RlquantError: a kept run that cannot be read, or what a search raised.
    """
    runs = {place: run for place, job in enumerate(jobs) if (run := job.read()) is not None}
    waiting = [place for place in range(len(jobs)) if place not in runs]
    if waiting:
        todo = [jobs[place] for place in waiting]
        progress = RunsBar(len(todo), todo[0].evaluations)
        made = _one_by_one(todo, progress) if workers == 1 else _side_by_side(todo, workers)
        with progress.bar, closing(made):
            try:
                for number, run in made:
                    runs[waiting[number]] = run
                    progress.begin(todo[number].path.stem)
                    progress.end()
            except KeyboardInterrupt:
                return None
    return [runs[place] for place in range(len(jobs))]


Made = Generator[tuple[int, TableRun], None, None]
"""Places of jobs with their runs, in the order in which they end."""


def _one_by_one(jobs: Sequence[TableJob], progress: RunsBar) -> Made:
    """Make the runs in this process; `KeyboardInterrupt` where one was interrupted."""
    for place, job in enumerate(jobs):
        progress.begin(job.path.stem)
        yield place, _finished(job.run(progress))


def _side_by_side(jobs: Sequence[TableJob], workers: int) -> Made:
    """Make the runs in processes of their own, which end when this generator does."""
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
    """Let processes that are started in the block not hear Ctrl-C before they can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finished(run: TableRun | None) -> TableRun:
    if run is None:
        raise KeyboardInterrupt
    return run


# --- in the other processes

_given: tuple[Sequence[TableJob], Callback]
"""What this process was given when it began: all jobs at once, so that they share their tables."""


class _Stopping(Callback):
    """Ends a search, as Ctrl-C would, when the comparison has ended."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """End where no more is wanted."""
        if self._stop.is_set():
            raise KeyboardInterrupt


def _begin(jobs: Sequence[TableJob], stop: Event, threads: int) -> None:
    global _given
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches all of a terminal; one is to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _given = jobs, _Stopping(stop)


def _run(place: int) -> TableRun | None:
    jobs, stopping = _given
    return jobs[place].run(stopping)


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
