"""Connections to a PostgreSQL server, which are kept open between uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

from rlquant.store.commands import DIALECT

SETTINGS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""What the driver is told unless the URL says otherwise: a machine that vanished is noticed."""

Connection = psycopg.Connection[Any]


class Connections:
    """Connections of one process and all its threads, made as they are needed.

    A statement is a transaction by itself unless one was begun.

    Args:
        url: of the database.
        begin: is given every connection that is new.
    """

    def __init__(self, url: sa.URL, begin: Callable[[Connection], None]) -> None:
        _, found = DIALECT.create_connect_args(url)
        self._arguments = {**SETTINGS, **found}
        self._begin = begin
        self._free: list[Connection] = []
        self._lock = threading.Lock()
        self._closings, self._ended = 0, False

    @contextmanager
    def taken(self) -> Iterator[Connection]:
        """Take one, for nobody else until the end; after an error none is used again."""
        with self._lock:
            closings = self._closings
            connection = self._free.pop() if self._free else None
        connection = connection or self._made()
        try:
            yield connection
        except BaseException:
            connection.close()
            self._close()  # they lead to the same server
            raise
        with self._lock:
            is_kept = closings == self._closings and not self._ended
            if is_kept:
                self._free.append(connection)
        if not is_kept:
            connection.close()

    def end(self) -> None:
        """Close all of them; those that are taken when they are given back."""
        self._ended = True
        self._close()

    def _close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
            self._closings += 1
        for connection in free:
            connection.close()

    def _made(self) -> Connection:
        connection: Connection = psycopg.connect(**self._arguments, autocommit=True)
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # of what is begun
        try:
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection
