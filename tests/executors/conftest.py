"""What tests of executors share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dask_processes import DaskProcesses


@pytest.fixture
def processes() -> Iterator[DaskProcesses]:
    """A scheduler and a worker of Dask, killed at the end."""
    made = DaskProcesses()
    made.start()
    yield made
    made.kill()
