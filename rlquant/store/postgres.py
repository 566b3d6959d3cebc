"""A store in a PostgreSQL database, for several machines: a lost connection is made again."""

from __future__ import annotations

import logging
import time
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from rlquant.errors import FileFormatError, RlquantError, StorageError
from rlquant.store.database import Row, Statement, executed
from rlquant.store.tables import METADATA, STORE_VERSION
from rlquant.store.unflushed import Unflushed

RETRY_SECONDS = 120.0
"""For which a lost connection is tried again: a server that restarts takes less."""
LONGEST_PAUSE = 2.0
"""Seconds between two attempts."""
LOCK = 0x726C7161
"""Number of the advisory lock under which tables are made."""
CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""What the driver is told unless the URL says otherwise: a machine that vanished is noticed."""

_REPEATED = ("08", "40", "57P")
"""Beginnings of codes of errors that pass: connections, conflicts, a server that ends or starts."""
_ADVICE = {
    "42501": "give this user the right to create tables and to read and write them",
    "25006": "the server only reads, perhaps it is a replica; give the one that writes",
    "53100": "the server's disk is full; make room",
    "53300": "the server takes no more connections; use fewer processes, or raise max_connections",
}
_log = logging.getLogger(__name__)
_version = sa.Table("store_version", sa.MetaData(), sa.Column("version", sa.Integer))


class PostgresDatabase:
    """See `Database`. Passwords are best left to the driver: PGPASSWORD, or the file .pgpass.

    Args:
        url: `postgresql+psycopg://USER@HOST/DATABASE`.
    """

    remedy = "remove it with `rlquant store prune`"

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.name = parsed.render_as_string(hide_password=True)
        arguments = {key: value for key, value in CONNECTION.items() if key not in parsed.query}
        self.engine = sa.create_engine(
            parsed,
            connect_args=arguments,
            max_overflow=-1,
            use_native_hstore=False,
            # One statement is a transaction by itself: two trips to the server are saved.
            isolation_level="AUTOCOMMIT",
        )
        self._transactions = self.engine.execution_options(isolation_level="READ COMMITTED")
        self._unflushed = Unflushed(self.engine)
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
            except DBAPIError as error:
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
        if not self._is_prepared:
            self._prepare()
            self._is_prepared = True
        engine = self.engine if len(statements) == 1 else self._transactions
        rows: list[Row] = []
        with engine.begin() as connection:
            self._unflushed.restore(connection)
            for statement in statements:
                rows = executed(connection, statement)
        self._unflushed.add(statements)
        if self._unflushed.is_due:
            self._flush()
        return rows

    def _flush(self) -> None:
        with self.engine.begin() as connection:
            self._unflushed.flush(connection)

    def shrink(self) -> None:
        """Do nothing: the server does it (autovacuum)."""

    def close(self) -> None:
        """Flush what was recorded, and close all connections."""
        if self._unflushed.has_any:
            try:
                self._flush()
            except DBAPIError as error:
                _log.warning(
                    "%s: %s; what was recorded in the last second may have to be measured again",
                    self.name,
                    _reason(error),
                )
        self.engine.dispose()

    def _prepare(self) -> None:
        """Make the tables of a new store; refuse those of others, and of other versions."""
        with self._transactions.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            present = {name for name in (_version.name, *METADATA.tables) if _is(connection, name)}
            if _version.name not in present:
                if present:
                    raise FileFormatError(
                        f"{self.name}: its table {min(present)} is of another program; give a "
                        f"database of its own, as `createdb rlquant` makes it"
                    )
                METADATA.create_all(connection, checkfirst=False)
                _version.create(connection, checkfirst=False)
                connection.execute(sa.insert(_version).values(version=STORE_VERSION))
                return
            version = connection.execute(sa.select(_version.c.version)).scalar()
            if version != STORE_VERSION:
                raise FileFormatError(
                    f"{self.name}: written by store version {version}, this one reads "
                    f"{STORE_VERSION}; use the same rlquant everywhere, or another database"
                )

    def _failure(self, error: DBAPIError, *, lost: bool) -> RlquantError:
        code, reason = getattr(error.orig, "sqlstate", None) or "", _reason(error)
        if lost:
            return StorageError(
                f"{self.name}: lost for {RETRY_SECONDS:.0f} s ({reason}); when the server is back, "
                f"give the same command again: it goes on from what is recorded"
            )
        if code in _ADVICE:
            return StorageError(f"{self.name}: cannot be used ({reason}); {_ADVICE[code]}")
        if isinstance(error.orig, psycopg.OperationalError):
            return StorageError(
                f"{self.name}: cannot be reached ({reason}); does the server run there, and are "
                f"user, password and database right?"
            )
        return FileFormatError(
            f"{self.name}: damaged or no evaluation store ({reason}); give another database"
        )


def _is(connection: sa.Connection, table: str) -> bool:
    """Whether a table of that name is seen where new ones would be made, or elsewhere."""
    return connection.execute(sa.select(sa.func.to_regclass(table).is_not(None))).scalar_one()


def _passes(error: DBAPIError) -> bool:
    """Whether the same may be possible a little later."""
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return str(code).startswith(_REPEATED)
    return error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)


def _reason(error: DBAPIError) -> str:
    """Return what the driver says, in one line."""
    return " ".join(str(error.orig).split())
