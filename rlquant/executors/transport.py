"""How executors differ: how many workers they have, how a parcel gets there, how workers die."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from rlquant.counted import counted
from rlquant.executors.local import LocalExecutor
from rlquant.executors.parcel import Parcel


class Transport:
    """Any executor whose workers run on this machine: they read parcels from their files.

    Args:
        executor: what calls are submitted to.

    Attributes:
        same_machine: whether workers see the files of this machine.
    """

    same_machine = True

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def __str__(self) -> str:
        """Say what evaluates."""
        return (
            f"evaluations run on {counted(self.workers, 'worker')} ({type(self.executor).__name__})"
        )

    @property
    def workers(self) -> int:
        """How many calls run at the same time, 1 where the executor does not say."""
        found = getattr(self.executor, "workers", getattr(self.executor, "_max_workers", 1))
        return found if isinstance(found, int) and found > 0 else 1

    @property
    def window(self) -> int:
        """How many tasks may be submitted and not done."""
        return sys.maxsize

    def send(self, parcel: Parcel) -> Any:
        """Return the argument that reaches workers as the source of a parcel."""
        return str(parcel.path)

    def death(self, error: BaseException) -> str | None:
        """Say how a worker ended, in words; None for an error that the call itself raised."""
        return str(error) if isinstance(error, BrokenExecutor) else None

    def is_last(self, error: BaseException) -> bool:
        """Return whether the executor has tried often enough itself."""
        return False

    def end(self, futures: Iterable[Future[Any]]) -> None:
        """End calls, as far as the executor can end those that run."""
        if isinstance(self.executor, LocalExecutor):
            self.executor.kill(futures)
            return
        for future in futures:
            future.cancel()
