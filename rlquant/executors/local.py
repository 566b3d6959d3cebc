"""Processes of this machine as an executor: `loky`, one pool of a single process for each worker.

A pool of several processes is broken as a whole when one of them dies. Pools of one lose nothing
but the call that the process died of, and it is known which call that was.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from rlquant.errors import whole_number

Result = TypeVar("Result")

BLOCKED = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)}
"""Signals that reach all processes of a terminal or job; the main process alone answers them."""
ORPHAN_CHECK = 1.0
"""Seconds between two looks of a worker at whether the main process is there."""
NO_LIMIT = "1e18"
"""Bytes that a worker may grow by: what it keeps of networks is no leak."""


class LocalExecutor(Executor):
    """So many processes of this machine; one that dies is replaced when the next call comes.

    Processes start with the first calls. They hear no Ctrl-C: the main process says what ends.

    Args:
        workers: processes, at least 1.
        threads: that numerical libraries are told to use in each of them.

    Raises:
        SettingsError: a number that is no whole one of at least 1.
    """

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.workers = whole_number("workers", workers, 1)
        self._threads = whole_number("threads", threads, 1)
        self._callers = ThreadPoolExecutor(self.workers, "rlquant-worker", _block_signals)
        self._free = [_Process(self._threads) for _ in range(self.workers)]
        self._processes = tuple(self._free)
        self._running: dict[Future[Any], _Process] = {}
        self._lock = threading.Lock()

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Have a process call a function; see `concurrent.futures.Executor.submit`.

        The future raises `WorkerDied` where the process ended in the call.
        """
        from loky.backend import resource_tracker

        resource_tracker.ensure_running()  # started by a caller, it would inherit blocked signals
        promised: Future[Future[Result]] = Future()
        future = self._callers.submit(self._call, promised, fn, args, kwargs)
        promised.set_result(future)
        return future

    def _call(
        self,
        promised: Future[Future[Result]],
        fn: Callable[..., Result],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Result:
        future = promised.result()
        with self._lock:
            process = self._running[future] = self._free.pop()
        try:
            return process.call(fn, args, kwargs)
        finally:
            with self._lock:
                self._free.append(self._running.pop(future))

    def kill(self, futures: Iterable[Future[Any]]) -> None:
        """End calls: those that wait are cancelled, and the processes of those that run killed."""
        mine = [future for future in futures if not future.cancel()]
        with self._lock:
            processes = [self._running[future] for future in mine if future in self._running]
        for process in processes:
            process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the processes go; without `wait` calls that run are ended."""
        self._callers.shutdown(wait=wait, cancel_futures=cancel_futures)
        for process in self._processes:
            process.kill()


class WorkerDied(BrokenExecutor):
    """The process of a call ended in it, as in "was killed by SIGKILL"; others go on."""


class _Process:
    """One process, started when it is first called and again after it died."""

    def __init__(self, threads: int) -> None:
        self._threads = str(threads)
        self._pool: Any = None

    def call(
        self, fn: Callable[..., Result], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Result:
        from loky import process_executor

        try:
            return self._begun(fn, args, kwargs).result()
        except (process_executor.BrokenProcessPool, process_executor.ShutdownExecutorError) as why:
            self.kill()
            raise WorkerDied(_words(str(why))) from None

    def _begun(
        self, fn: Callable[..., Result], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[Result]:
        """Begin a call; a process that died while it had none takes nothing with it."""
        from loky import process_executor

        try:
            future: Future[Result] = self._started().submit(fn, *args, **kwargs)
        except process_executor.BrokenProcessPool:
            self.kill()
            future = self._started().submit(fn, *args, **kwargs)
        return future

    def _started(self) -> Any:
        from loky import process_executor

        pool = self._pool or process_executor.ProcessPoolExecutor(
            1,
            initializer=_begin,
            initargs=(os.getpid(),),
            env={"OMP_NUM_THREADS": self._threads, "LOKY_MAX_MEMORY_LEAK_SIZE": NO_LIMIT},
        )
        self._pool = pool
        return pool

    def kill(self) -> None:
        """End the process, whatever it does."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(kill_workers=True)


def _words(message: str) -> str:
    """Return how a process ended, out of loky's message, which has SIGKILL(-9) or EXIT(3)."""
    found = re.search(r"exit codes of the workers are \{(\w+)\((-?\d+)\)", message)
    if found is None:
        return "ended by itself"
    return f"ended with exit code {found[2]}" if found[1] == "EXIT" else f"was killed by {found[1]}"


def _block_signals() -> None:
    """Have processes that this thread starts inherit a mask without Ctrl-C and hang-ups."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)


# --- in the other processes


def _begin(parent: int) -> None:
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


def _exit_with(parent: int) -> None:
    """Exit when the main process has ended, whatever is being computed."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK)
    os._exit(1)
