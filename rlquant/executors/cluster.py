"""A cluster of Dask as an executor: `distributed` has the scheduler and starts lost work again."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from rlquant.errors import SettingsError, WorkerError
from rlquant.executors.parcel import Parcel
from rlquant.executors.transport import Transport

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PATIENCE = 60
"""Seconds until the scheduler has answered and a first worker is there."""
RECOUNT = 2.0
"""Seconds after which workers are counted again."""


class ClusterExecutor(Executor):
    """A client of Dask as an executor.

    Its own, `Client.get_executor()`, waits for ever for results that were lost with a worker.

    Args:
        client: is connected.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._counted, self._at = 1, -math.inf

    @property
    def workers(self) -> int:
        """How many there are, as of the last seconds: the scheduler is asked."""
        if time.monotonic() - self._at > RECOUNT:
            with _heard(self.client):
                self._counted = max(1, len(self.client.nthreads()))
            self._at = time.monotonic()
        return self._counted

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Have a worker call a function; futures of Dask among the arguments stand for values."""
        with _heard(self.client):
            remote = self.client.submit(fn, *args, pure=False, **kwargs)
        found: Future[Result] = Future()

        def told(remote: Any) -> None:
            try:
                outcome = remote.result()
            except BaseException as error:
                if not found.cancelled():
                    found.set_exception(_Lost() if isinstance(error, CancelledError) else error)
            else:
                if not found.cancelled():
                    found.set_result(outcome)

        found.add_done_callback(lambda done: remote.cancel() if done.cancelled() else None)
        remote.add_done_callback(told)
        return found


@contextmanager
def _heard(client: Any) -> Iterator[None]:
    """Raise `WorkerError` in the block where the scheduler is not heard of any more."""
    from distributed.client import ClosedClientError

    try:
        yield
    except (OSError, ClosedClientError, RuntimeError) as error:  # the last of a pool it has closed
        address = getattr(getattr(client, "scheduler", None), "address", "of the cluster")
        raise WorkerError(
            f"Dask's scheduler {address} is lost ({error}): start it and its workers, and give the "
            f"same command again: it goes on from what is recorded"
        ) from error


class _Lost(BrokenExecutor):
    """A result or what it needs went with a worker, and could not be had again."""

    def __str__(self) -> str:
        return "was lost by the cluster"


class ClusterTransport(Transport):
    """The transport of a cluster: a parcel is a result of its own, which workers hand to others.

    A worker that dies is the scheduler's to replace: it runs its calls elsewhere, as often as its
    setting `distributed.scheduler.allowed-failures` says. No worker has two calls at a time, as the
    scheduler would hold both responsible for its death. What runs on a cluster cannot be killed
    from here: a call that is ended goes on to its end, and nobody waits for it.

    Args:
        executor: `ClusterExecutor`, or Dask's own.
    """

    same_machine = False

    def __init__(self, executor: Any) -> None:
        client = getattr(executor, "client", getattr(executor, "_client", None))
        if not isinstance(executor, Executor) or client is None:
            raise SettingsError(
                f"executor is Dask's {type(executor).__name__}; give client.get_executor()"
            )
        super().__init__(ClusterExecutor(client))
        self._client: Any = client

    def __str__(self) -> str:
        """Say what evaluates, and where it can be watched."""
        return f"{super().__str__()}; Dask's dashboard: {self._client.dashboard_link}"

    @property
    def window(self) -> int:
        """One call a worker."""
        return self.workers

    def send(self, parcel: Parcel) -> Any:
        """Make the bytes a result, which the scheduler can make again when workers die."""
        with warnings.catch_warnings(), _heard(self._client):
            warnings.simplefilter("ignore", UserWarning)  # that this is large, which is meant
            return self._client.submit(
                _itself, parcel.path.read_bytes(), key=f"rlquant-{parcel.key}"
            )

    def is_last(self, error: BaseException) -> bool:
        """Return whether the scheduler has given up."""
        from distributed.scheduler import KilledWorker

        return isinstance(error, KilledWorker)

    def death(self, error: BaseException) -> str | None:
        """Say how workers ended."""
        return "died" if self.is_last(error) else super().death(error)


def _itself(packed: bytes) -> bytes:
    return packed


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Connect to the scheduler at an address, as in `HOST:8786`, for the block.

    Raises:
        SettingsError: Dask is not installed, no scheduler answers, or it has no worker.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise SettingsError(
            "executor 'dask:' needs Dask: install the extra, as in pip install 'rlquant[cluster]'"
        ) from error
    try:
        client: Any = Client(address, timeout=PATIENCE)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"executor 'dask:{address}': no scheduler answers there ({error}); start one with "
            f"`dask scheduler`, and give the address that it prints"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise SettingsError(
                f"executor 'dask:{address}': the scheduler has no worker; start some with "
                f"`dask worker {address} --nthreads 1`"
            ) from error
        if max(client.nthreads().values()) > 1:
            logger.warning("workers with several threads evaluate one by one: use --nthreads 1")
        executor = ClusterExecutor(client)
        logger.info("%s", ClusterTransport(executor))
        yield executor
