"""What runs in a worker: one function on some items, beside an object that it opened before."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Generic, TypeVar

from rlquant.errors import WorkerError
from rlquant.executors.parcel import OPENED, Source, is_portable
from rlquant.version import installed_version

Item = TypeVar("Item")
Result = TypeVar("Result")

Versions = tuple[str, str, str]
"""Of Python, PyTorch and rlquant."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """The results of some items, and the seconds that they took."""

    results: list[Result]
    seconds: float


@cache  # looked up on the disk, 2 ms each time; of a process they do not change
def versions() -> Versions:
    """Return what must agree for the same numbers; a build (2.13.0+cpu) may differ."""
    python = ".".join(platform.python_version_tuple()[:2])
    return python, version("torch").partition("+")[0], installed_version()


def call(
    function: Callable[[Any, Item], Result],
    items: Sequence[Item],
    key: str,
    source: Source,
    threads: int,
    wanted: Versions,
) -> Done[Result]:
    """Call a function on items, one after the other.

    Args:
        function: of the shared object and an item.
        items: what this task is of.
        key: hash of the shared object.
        source: where it is, if this process has not opened it.
        threads: of torch, so that every worker computes the same numbers to the last bit.
        wanted: versions of the process that asks.

    Raises:
        WorkerError: other versions, or an error that no other process can make again.
        Exception: what the function raised.
    """
    if versions() != wanted:
        raise WorkerError(
            f"a worker has Python, PyTorch and rlquant {' / '.join(versions())}, the search has "
            f"{' / '.join(wanted)}: install the same versions, scores differ otherwise"
        )
    try:
        shared = OPENED.get(key, source)
        start = time.perf_counter()
        with _torch_threads(threads):
            results = [function(shared, item) for item in items]
        return Done(results, time.perf_counter() - start)
    except Exception as error:
        if not is_portable(error):
            raise WorkerError(f"a worker process raised {type(error).__name__}: {error}") from error
        raise


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Set torch's threads in the block: a worker may be a thread of somebody's process."""
    torch: Any = sys.modules.get("torch")  # what has not loaded it does not compute with it
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
