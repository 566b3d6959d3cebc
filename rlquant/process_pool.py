"""Process pool: one function called on many items in spawned processes that share an object.

Nothing is unpickled here but what this program's own processes have sent each other.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from rlquant.errors import SettingsError, WorkerError, whole_number

logger = logging.getLogger(__name__)

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

GROUPS = 8
"""Calls that a chunk is split into: fewer cost less, more give results sooner."""
BLOCKED = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)}
"""Signals that reach all processes of a terminal or job; the main process alone answers them."""


def run_in_processes(
    function: Callable[[Shared, Item], Result],
    shared: Shared,
    items: Sequence[Item],
    workers: int,
    chunk: int = 1,
) -> Generator[tuple[int, Result], None, None]:
    """Call `function(shared, item)` for every item in spawned processes.

    Processes start at the first `next` and have ended when the generator is exhausted or closed. A
    script that uses them keeps what it runs under `if __name__ == "__main__":`. Each uses as many
    threads of torch as this process, so that it computes the same numbers to the last bit.

    Args:
        function: of a module.
        shared: pickled once, and sent once to each process.
        items: in order; can be pickled.
        workers: processes, at least 1; never more than there are chunks.
        chunk: so many successive items go to one process, one after the other. Results come in
            groups of an eighth of them.

    Yields:
        Positions in `items` with their results, each once, in the order of completion.

    Raises:
        SettingsError: `workers` is no whole number of at least 1, or `shared` cannot be pickled.
        WorkerError: while iterating: an item twice ended the process that computed it. The first
            time is logged, and the items of its group are computed by another process, each alone.
        Exception: while iterating: what `function` raised, as itself where it can be pickled.
    """
    whole_number("workers", workers, 1)
    try:
        packed = pickle.dumps(shared)  # not multiprocessing's, which would share tensors' memory
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"this cannot be sent to other processes ({error}): define classes and functions at "
            f"the top of a module, or use workers=1"
        ) from error
    size = max(1, chunk // GROUPS)
    places = range(len(items))
    chunks = deque(
        [part[at : at + size] for at in range(0, len(part), size)]
        for part in (places[at : at + chunk] for at in range(0, len(items), chunk))
    )
    return _results(function, packed, items, chunks, min(workers, len(chunks)))


def _results(
    function: Callable[[Any, Item], Result],
    packed: bytes,
    items: Sequence[Item],
    chunks: deque[list[range]],
    count: int,
) -> Generator[tuple[int, Result], None, None]:
    tried: set[int] = set()
    inherited, lifeline = multiprocessing.Pipe(duplex=False)
    workers = [_Worker(packed, inherited) for _ in range(count)]
    try:
        while chunks or any(worker.calls for worker in workers):
            for worker in workers:
                if chunks and not worker.calls:
                    worker.submit(function, items, chunks.popleft())
            wait([worker.first for worker in workers if worker.calls], None, FIRST_COMPLETED)
            for number, worker in enumerate(workers):
                try:
                    yield from worker.finished()
                except BrokenProcessPool:
                    group, *rest = worker.calls
                    _note_death(worker.death(), group, tried, items)
                    chunks.appendleft([*(range(at, at + 1) for at in group), *rest])
                    workers[number] = _Worker(packed, inherited)
    except BaseException:
        lifeline.close()  # every process ends at once
        raise
    finally:
        with ThreadPoolExecutor(max(1, count)) as threads:  # all end at the same time
            list(threads.map(_Worker.shut_down, workers))
        lifeline.close()
        inherited.close()


def _note_death(how: str, group: range, tried: set[int], items: Sequence[object]) -> None:
    """Note which items a process ended with; raise where it was one alone, for the second time."""
    if len(group) == 1 and group[0] in tried:
        raise WorkerError(
            f"item {group[0]} of {len(items)} twice ended the process that computed it, which "
            f"{how}: use fewer workers where memory is short, keep what the script runs under "
            f"`if __name__ == '__main__':` where no process can begin, or compute it with "
            f"workers=1 to see why: {items[group[0]]!r}"
        )
    tried.update(group)
    logger.warning("a worker process %s; another one takes its place", how)


class _Worker:
    """An executor with a single process, so that it is known which call ended the process.

    Args:
        packed: the shared object, pickled.
        lifeline: end of a pipe; at the end of the pipe's other end the process exits.
    """

    def __init__(self, packed: bytes, lifeline: Connection) -> None:
        context = multiprocessing.get_context("spawn")
        setup = (packed, lifeline, torch.get_num_threads())
        self._executor = ProcessPoolExecutor(1, context, _begin, setup)
        self._process: BaseProcess | None = None
        self.calls: dict[range, Future[list[Any]]] = {}

    @property
    def first(self) -> Future[list[Any]]:
        """The call that is being computed."""
        return next(iter(self.calls.values()))

    def submit(
        self, function: Callable[[Any, Item], Any], items: Sequence[Item], groups: Sequence[range]
    ) -> None:
        """Submit a call for each group of items."""
        with _signals_blocked():
            for group in groups:
                some = [items[place] for place in group]
                try:
                    self.calls[group] = self._executor.submit(_call, function, some)
                    (self._process,) = self._executor._processes.values()
                except BrokenProcessPool as error:  # it ended before this call reached it
                    self.calls[group] = Future()
                    self.calls[group].set_exception(error)

    def finished(self) -> Iterator[tuple[int, Any]]:
        """Yield what is computed; `BrokenProcessPool` where the first call ended the process."""
        while self.calls and self.first.done():
            group = next(iter(self.calls))
            results = self.first.result()
            del self.calls[group]
            yield from zip(group, results, strict=True)

    def death(self) -> str:
        """Return how a process ended that was not asked to, as in "was killed by SIGKILL"."""
        self.shut_down()  # only then is the exit code known
        code = self._process.exitcode if self._process else None
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        names = {known.value: known.name for known in signal.Signals}
        return f"was killed by {names.get(-code, f'signal {-code}')}"

    def shut_down(self) -> None:
        """Wait for the end of the process, without computing what has not begun."""
        self._executor.shutdown(cancel_futures=True)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Have processes that start in the block inherit a mask without Ctrl-C and hang-ups."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started in the block, it would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in the other processes

_packed: bytes
"""The shared object of this worker process, pickled."""


def _begin(packed: bytes, lifeline: Connection, threads: int) -> None:
    global _packed
    _packed = packed
    threading.Thread(target=_exit_with, args=(lifeline,), daemon=True).start()
    torch.set_num_threads(threads)


def _exit_with(lifeline: Connection) -> None:
    """Exit when the main process closes its end of the pipe, or has itself ended."""
    lifeline.poll(None)
    os._exit(1)


@cache
def _shared() -> Any:
    return pickle.loads(_packed)


def _call(function: Callable[[Any, Item], Result], items: Sequence[Item]) -> list[Result]:
    try:
        return [function(_shared(), item) for item in items]
    except Exception as error:
        if not _portable(error):
            raise WorkerError(f"a worker process raised {type(error).__name__}: {error}") from error
        raise


def _portable(error: Exception) -> bool:
    """Whether another process can make the error again."""
    try:
        return str(pickle.loads(pickle.dumps(error))) == str(error)
    except Exception:
        return False
