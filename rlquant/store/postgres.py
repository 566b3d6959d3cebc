"""A store in a PostgreSQL database, for several machines: a lost connection is made again."""

from __future__ import annotations

import logging
import time
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateTable

from rlquant.errors import FileFormatError, RlquantError, StorageError
from rlquant.store.commands import DIALECT, Commands
from rlquant.store.connections import Connection, Connections
from rlquant.store.database import Row, Statement
from rlquant.store.tables import METADATA, STORE_VERSION
from rlquant.store.unflushed import Unflushed

RETRY_SECONDS = 120.0
"""For which a lost connection is tried again: a server that restarts takes less."""
LONGEST_PAUSE = 2.0
"""Seconds between two attempts."""
LOCK = 0x726C7161
"""Number of the advisory lock under which tables are made."""

_REPEATED = ("08", "40", "57P")
"""Beginnings of codes of errors that pass: connections, conflicts, a server that ends or starts."""
_ADVICE = {
    "42501": "give this user the right to create tables and to read and write them",
    "25006": "the server only reads, perhaps it is a replica; give the one that writes",
    "53100": "the server's disk is full; make room",
    "53300": "the server takes no more connections; use fewer processes, or raise max_connections",
}
_VERSION = "store_version"
_log = logging.getLogger(__name__)


class PostgresDatabase:
    """See `Database`. Passwords are best left to the driver: PGPASSWORD, or the file .pgpass.

    Args:
        url: `postgresql+psycopg://USER@HOST/DATABASE`.
    """

    remedy = "remove it with `rlquant store prune`"
    returns = True

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.name = parsed.render_as_string(hide_password=True)
        self._commands, self._unflushed = Commands(), Unflushed()
        self._connections = Connections(parsed, self._unflushed.begin)
        self._is_prepared = False

    def insert(self, table: sa.Table) -> Any:
        """Return an INSERT of PostgreSQL's."""
        return postgresql.insert(table)

    def now(self) -> sa.ColumnElement[float]:
        """Return the server's time."""
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

    def run(self, *statements: Statement) -> list[Row]:
        """Execute statements, all or none; return the rows of the last.

        A lost connection is made again for `RETRY_SECONDS`; one that never was is not.
        """
        deadline, pause = time.monotonic() + RETRY_SECONDS, 0.05
        while True:
            try:
                return self._run(statements)
            except psycopg.Error as error:
                passes = self._is_prepared and _passes(error)
                if not passes or time.monotonic() > deadline:
                    raise self._failure(error, lost=passes) from error
                if pause == 0.05:
                    _log.warning(
                        "%s: %s; trying again for %.0f s", self.name, _reason(error), RETRY_SECONDS
                    )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _run(self, statements: tuple[Statement, ...]) -> list[Row]:
        commands, rows = self._commands.of(statements), list[Row]()
        with self._connections.taken() as connection:
            if not self._is_prepared:
                _prepare(connection, self.name)
                self._is_prepared = True
            self._unflushed.restore(connection)
            if len(commands) == 1:
                rows = commands[0].execute(connection)
            else:
                with connection.transaction():
                    for command in commands:
                        rows = command.execute(connection)
            self._unflushed.add(commands)
            if self._unflushed.is_due:
                self._unflushed.flush(connection)
        return rows

    def shrink(self) -> None:
        """Do nothing: the server does it (autovacuum)."""

    def close(self) -> None:
        """Flush what was recorded, and close all connections."""
        if self._unflushed.has_any:
            try:
                with self._connections.taken() as connection:
                    self._unflushed.flush(connection)
            except psycopg.Error as error:
                _log.warning(
                    "%s: %s; what was recorded in the last second may have to be measured again",
                    self.name,
                    _reason(error),
                )
        self._connections.end()

    def _failure(self, error: psycopg.Error, *, lost: bool) -> RlquantError:
        code, reason = error.sqlstate or "", _reason(error)
        if lost:
            return StorageError(
                f"{self.name}: lost for {RETRY_SECONDS:.0f} s ({reason}); when the server is back, "
                f"give the same command again: it goes on from what is recorded"
            )
        if code in _ADVICE:
            return StorageError(f"{self.name}: cannot be used ({reason}); {_ADVICE[code]}")
        if isinstance(error, psycopg.OperationalError):
            return StorageError(
                f"{self.name}: cannot be reached ({reason}); does the server run there, and are "
                f"user, password and database right?"
            )
        return FileFormatError(
            f"{self.name}: damaged or no evaluation store ({reason}); give another database"
        )


def _prepare(connection: Connection, name: str) -> None:
    """Make the tables of a new store; refuse those of others, and of other versions."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        present = {table for table in (_VERSION, *METADATA.tables) if _is(connection, table)}
        if _VERSION not in present:
            if present:
                raise FileFormatError(
                    f"{name}: its table {min(present)} is of another program; give a "
                    f"database of its own, as `createdb rlquant` makes it"
                )
            for table in METADATA.tables.values():
                connection.execute(str(CreateTable(table).compile(dialect=DIALECT)).encode())
            connection.execute("CREATE TABLE store_version (version INTEGER)")
            connection.execute("INSERT INTO store_version VALUES (%s)", (STORE_VERSION,))
            return
        found = connection.execute("SELECT version FROM store_version").fetchone()
    if found != (STORE_VERSION,):
        version = None if found is None else found[0]
        raise FileFormatError(
            f"{name}: written by store version {version}, this one reads {STORE_VERSION}; use the "
            f"same rlquant everywhere, or another database"
        )


def _is(connection: Connection, table: str) -> bool:
    """Whether a table of that name is seen where new ones would be made, or elsewhere."""
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
    return found == (True,)


def _passes(error: psycopg.Error) -> bool:
    """Whether the same may be possible a little later."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_REPEATED)
    return isinstance(error, psycopg.OperationalError)


def _reason(error: psycopg.Error) -> str:
    """Return what the driver says, in one line."""
    return " ".join(str(error).split())
