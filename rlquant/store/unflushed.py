"""What a server may not have on its disk: flushed once a second, recorded again where it crashes.

A commit that waits for the disk takes as long as the disk, for every evaluation. So none waits, and
once a second everything committed before is flushed together. Until then it is kept here too:
a connection that is new may be to a server that has crashed, and is told all of it again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable

from rlquant.store.commands import Command
from rlquant.store.connections import Connection

FLUSH_SECONDS = 1.0
"""What several processes record in so many seconds is one write of each to the server's disk."""

_FLUSH = (
    "SELECT set_config('synchronous_commit', 'on', true), "
    "pg_logical_emit_message(true, 'rlquant', '')"
)
"""A transaction that writes something and waits for the disk, which comes after all before it."""


class Unflushed:
    """What was committed since the last flush, on connections whose commits wait for no disk."""

    def __init__(self) -> None:
        self._kept: list[Command] = []
        self._flushed_at = -math.inf
        self._is_new = False
        self._lock = threading.RLock()

    def begin(self, connection: Connection) -> None:
        """Take note of a new connection; none of its commits waits for the disk from now on."""
        connection.execute("SET synchronous_commit TO off")
        self._is_new = True

    @property
    def has_any(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._kept)

    @property
    def is_due(self) -> bool:
        """Whether there is, and the last flush was long ago."""
        return self.has_any and time.monotonic() - self._flushed_at >= FLUSH_SECONDS

    def add(self, commands: Iterable[Command]) -> None:
        """Keep those of committed commands that record or remove; leases end with a server."""
        self._kept += [command for command in commands if command.is_lasting]

    def restore(self, connection: Connection) -> None:
        """Execute all that is kept, where a connection was made since the last time."""
        with self._lock:
            if self._is_new:
                for command in self._kept:
                    command.execute(connection)
                self._is_new = False

    def flush(self, connection: Connection) -> None:
        """Wait until the server has everything on its disk; then nothing is kept any more."""
        with self._lock:
            self.restore(connection)
            count = len(self._kept)
            connection.execute(_FLUSH)
            del self._kept[:count]
            self._flushed_at = time.monotonic()
