"""Connections to a PostgreSQL server, which are kept open between uses."""

from __future__ import annotations

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

    @contextmanager
    def taken(self) -> Iterator[Connection]:
        """Take one, for nobody else until the end; after an error none is used again."""
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._made()
        try:
            yield connection
        except BaseException:
            connection.close()
            self.close()  # they lead to the same server
            raise
        self._free.append(connection)

    def close(self) -> None:
        """Close those that nobody has taken."""
        while self._free:
            self._free.pop().close()

    def _made(self) -> Connection:
        connection: Connection = psycopg.connect(**self._arguments, autocommit=True)
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # of what is begun
        try:
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection
