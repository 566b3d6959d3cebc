"""What a server may not have on its disk: flushed once a second, recorded again where it crashes.

A commit that waits for the disk takes as long as the disk, for every evaluation. So none waits, and
once a second everything committed before is flushed together. Until then it is kept here too:
a connection that is new may be to a server that has crashed, and is told all of it again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from rlquant.store.database import Statement, executed
from rlquant.store.tables import leases

FLUSH_SECONDS = 1.0
"""What several processes record in so many seconds is one write of each to the server's disk."""

_FLUSH = sa.text(
    "SELECT set_config('synchronous_commit', 'on', true), "
    "pg_logical_emit_message(true, 'rlquant', '')"
)
"""A transaction that writes something and waits for the disk, which comes after all before it."""


class Unflushed:
    """What was committed on an engine's connections since the last flush.

    Args:
        engine: of PostgreSQL; none of its commits waits for the disk from now on.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._kept: list[Statement] = []
        self._flushed_at = -math.inf
        self._is_new = False
        self._lock = threading.RLock()
        sa.event.listen(engine, "connect", self._begin)

    def _begin(self, raw: Any, record: object) -> None:
        """Take note of a new connection of the driver's."""
        before, raw.autocommit = raw.autocommit, True
        raw.execute("SET synchronous_commit TO off")
        raw.autocommit = before
        self._is_new = True

    @property
    def has_any(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._kept)

    @property
    def is_due(self) -> bool:
        """Whether there is, and the last flush was long ago."""
        return self.has_any and time.monotonic() - self._flushed_at >= FLUSH_SECONDS

    def add(self, statements: Sequence[Statement]) -> None:
        """Keep those of committed statements that record or remove; leases end with a server."""
        self._kept += [statement for statement in statements if _writes(statement[0])]

    def restore(self, connection: sa.Connection) -> None:
        """Execute all that is kept, where a connection was made since the last time."""
        with self._lock:
            if self._is_new:
                for statement in self._kept:
                    executed(connection, statement)
                self._is_new = False

    def flush(self, connection: sa.Connection) -> None:
        """Wait until the server has everything on its disk; then nothing is kept any more.

        Args:
            connection: each of its statements is a transaction.
        """
        with self._lock:
            self.restore(connection)
            count = len(self._kept)
            connection.execute(_FLUSH)
            del self._kept[:count]
            self._flushed_at = time.monotonic()


def _writes(statement: sa.Executable) -> bool:
    written = isinstance(statement, sa.Insert | sa.Update | sa.Delete)
    return written and statement.table is not leases  # type: ignore[attr-defined]
