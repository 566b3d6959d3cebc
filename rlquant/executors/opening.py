"""Executors by name, as in `local:4`, `dask:HOST:8786` or `slurm:partition=NAME`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rlquant.errors import SettingsError
from rlquant.executors.cluster import ClusterExecutor, ClusterTransport, cluster
from rlquant.executors.local import LocalExecutor
from rlquant.executors.slurm import SlurmJobs, require_slurm, slurm
from rlquant.executors.transport import Transport

USAGE = (
    "use local (a worker a core), local:4, dask:HOST:8786, slurm:partition=NAME,jobs=32, or a "
    "concurrent.futures.Executor"
)


@contextmanager
def opened(executor: Executor | str | None) -> Iterator[Executor | None]:
    """Give an executor for the block, and close it behind if it was opened here.

    Args:
        executor: one that is there, which is left open; a text such as "local:4"; or None.

    Raises:
        SettingsError: neither, an unknown kind, or a cluster that cannot be reached.
    """
    if executor is None:
        yield None
    elif isinstance(executor, str):
        with _opener(executor) as found:
            yield found
    else:
        transport_of(executor)
        yield executor


def require_executor(executor: object) -> None:
    """Raise `SettingsError` for what is no executor, before anything is loaded."""
    if isinstance(executor, str):
        _opener(executor)
    elif executor is not None:
        transport_of(executor)


def transport_of(executor: Any) -> Transport:
    """Return the transport of an executor; `SettingsError` for what is none."""
    of_dask = type(executor).__module__.startswith("distributed.")
    if of_dask or isinstance(executor, ClusterExecutor):
        return ClusterTransport(executor)
    if not isinstance(executor, Executor):
        raise SettingsError(f"executor={executor!r}, {USAGE}")
    return Transport(executor)


def _opener(text: str) -> AbstractContextManager[Executor]:
    kind, _, where = text.partition(":")
    if kind not in KINDS:
        raise SettingsError(f"executor={text!r}, {USAGE}")
    return KINDS[kind](where)


def _local(count: str) -> AbstractContextManager[Executor]:
    if count and not (count.isdecimal() and int(count)):
        raise SettingsError(f"executor='local:{count}', {USAGE}")
    return _processes(int(count) if count else None)


@contextmanager
def _processes(count: int | None) -> Iterator[Executor]:
    from loky import cpu_count

    executor = LocalExecutor(cpu_count() if count is None else count)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _dask(address: str) -> AbstractContextManager[Executor]:
    if not address:
        raise SettingsError(f"executor='dask:' names no scheduler, {USAGE}")
    return cluster(address)


def _slurm(jobs: str) -> AbstractContextManager[Executor]:
    parsed = SlurmJobs.parsed(jobs)
    require_slurm()
    return slurm(parsed)


KINDS: dict[str, Callable[[str], AbstractContextManager[Executor]]] = {
    "local": _local,
    "dask": _dask,
    "slurm": _slurm,
}
"""Kind -> what opens one at the place behind the colon."""
