"""One function called on many items by an executor's workers, each of which gets an object once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rlquant.counted import counted
from rlquant.errors import WorkerError
from rlquant.executors.opening import transport_of
from rlquant.executors.parcel import Parcel
from rlquant.executors.worker import Done, call, versions
from rlquant.executors.workload import Listener, Workload, unheard

logger = logging.getLogger(__name__)

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""An item whose worker dies is tried again twice."""
TICK = 0.5
"""Seconds after which a wait looks up, so that Ctrl-C is heard on every system."""


@dataclass(frozen=True, slots=True)
class _Death:
    """How a worker ended, and whether the executor has tried often enough itself."""

    how: str
    is_last: bool


class Calls(Generic[Shared, Item, Result]):
    """`function(shared, item)` by the workers of an executor.

    Args:
        executor: `LocalExecutor`, Dask's, or any other whose workers run on this machine.
        function: of a module.
        shared: packed once; a worker gets it with its first call.
        threads: of torch in every call.
        listener: told how busy the workers are.

    Attributes:
        workers: how many there are.

    Raises:
        SettingsError: `executor` is none, or `shared` cannot be pickled.
    """

    def __init__(
        self,
        executor: Executor,
        function: Callable[[Shared, Item], Result],
        shared: Shared,
        threads: int = 1,
        listener: Listener = unheard,
    ) -> None:
        self._transport = transport_of(executor)
        self._function, self._threads, self._listener = function, threads, listener
        self._parcel = Parcel(shared)
        self._source: Any = None
        self._versions = versions()
        self._busy_seconds = 0.0
        self._answered = False

    @property
    def workers(self) -> int:
        """How many workers the executor has now."""
        return self._transport.workers

    def completed(
        self, items: Sequence[Item], chunk: int = 1
    ) -> Generator[tuple[int, Result | WorkerError], None, None]:
        """Call the function on every item; when closed, or at an error, what runs is ended.

        Args:
            items: in order.
            chunk: so many successive items go to one worker, one after the other.

        Yields:
            Positions in `items` with their results, each once, in the order of completion; a
            `WorkerError` for an item with which the worker died at every attempt.

        Raises:
            WorkerError: while iterating: the executor itself is broken, or workers die before any
                has answered.
            Exception: while iterating: what `function` raised, as itself where it can be pickled.
        """
        places = range(len(items))
        queue = deque(places[at : at + chunk] for at in range(0, len(items), chunk))
        attempts = dict.fromkeys(places, 0)
        waiting: dict[Future[Done[Result]], range] = {}
        try:
            while queue or waiting:
                while queue and len(waiting) < self._transport.window:
                    group = queue.popleft()
                    waiting[self._submit(items, group)] = group
                self._tell(sum(map(len, [*queue, *waiting.values()])))
                for future in wait(waiting, TICK, FIRST_COMPLETED).done:
                    group = waiting.pop(future)
                    found = self._outcome(future)
                    if isinstance(found, Done):
                        yield from zip(group, found.results, strict=True)
                        continue
                    for place in group:
                        attempts[place] += 1
                        if attempts[place] < ATTEMPTS and not found.is_last:
                            queue.append(range(place, place + 1))
                        else:
                            yield place, self._given_up(items[place], attempts[place], found)
        finally:
            self._transport.end(waiting)
            self._tell(0)

    def _submit(self, items: Sequence[Item], group: range) -> Future[Done[Result]]:
        if self._source is None:
            self._source = self._transport.send(self._parcel)
        task = [items[place] for place in group]
        key, source, threads = self._parcel.key, self._source, self._threads
        try:
            return self._transport.executor.submit(
                call, self._function, task, key, source, threads, self._versions
            )
        except BrokenExecutor as error:
            raise WorkerError(
                f"the executor is broken ({error}): use executor='local:{self.workers}', which "
                f"replaces workers that die"
            ) from error

    def _outcome(self, future: Future[Done[Result]]) -> Done[Result] | _Death:
        """Return results, or how the worker died; raise what the function raised."""
        try:
            done = future.result()
        except Exception as error:
            how = self._transport.death(error)
            if how is None:
                raise
            logger.warning("a worker %s; what it computed is tried again", how)
            self._source = None  # what was sent may have gone with it
            return _Death(how, self._transport.is_last(error))
        self._busy_seconds += done.seconds
        self._answered = True
        return done

    def _given_up(self, item: Item, attempts: int, death: _Death) -> WorkerError:
        """Return the failure of an item; raise it where no worker has ever answered."""
        times = "at every attempt of the cluster" if death.is_last else counted(attempts, "time")
        error = WorkerError(
            f"the worker {death.how}, {times}: use fewer workers where memory is short, or "
            f"evaluate without an executor to see why: {item!r}"
        )
        if not self._answered:
            raise error
        return error

    def _tell(self, left: int) -> None:
        running = min(left, self.workers)
        self._listener(Workload(self.workers, running, left - running, self._busy_seconds))

    def close(self) -> None:
        """Remove what was packed."""
        self._parcel.close()
