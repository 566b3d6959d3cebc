"""A store in an SQLite file, which may come from anybody: WAL, and nothing in it runs."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from rlquant.documents import require_regular
from rlquant.documents.database import failure, limit_steps, open_database
from rlquant.errors import FileFormatError
from rlquant.files import about, reading
from rlquant.store.database import Row, Statement, executed
from rlquant.store.sqlite_schema import APPLICATION_ID, SCHEMAS, complete, is_complete
from rlquant.store.tables import STORE_VERSION

HEADER_BYTES = 100
KIND = "evaluation store"
BUSY_SECONDS = 60.0


class SqliteFile:
    """See `Database`. Several processes and threads may use one file at the same time."""

    remedy = "move it away"
    returns = False  # before 3.35

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        self.engine = sa.create_engine(
            "sqlite://", creator=self._open, poolclass=sa.QueuePool, max_overflow=-1
        )

    def insert(self, table: sa.Table) -> Any:
        """Return an INSERT of SQLite's."""
        return sqlite.insert(table)

    def now(self) -> sa.ColumnElement[float]:
        """Return the machine's time."""
        return (sa.func.julianday("now") - 2440587.5) * 86400.0  # of 1970-01-01

    def run(self, *statements: Statement) -> list[Row]:
        """Execute statements, all or none; return the rows of the last."""
        rows: list[Row] = []
        try:
            with self.engine.begin() as connection:
                for statement in statements:
                    limit_steps(_raw(connection))
                    rows = executed(connection, statement)
            return rows
        except DBAPIError as error:
            cause = error.orig
            if isinstance(cause, sqlite3.ProgrammingError):
                raise cause from None  # a fault in the program, not in the file
            assert isinstance(cause, sqlite3.Error)
            raise failure(self.path, KIND, cause) from error
        except UnicodeDecodeError as error:  # of SQLite's message, which quotes what is in the file
            raise FileFormatError(
                f"{self.path}: damaged or no {KIND} ({error.reason}); move it away"
            ) from error

    def shrink(self) -> None:
        """Give the room of what was deleted back to the disk."""
        with self.engine.connect() as connection:
            raw = _raw(connection)
            raw.set_progress_handler(None, 0)
            raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)  # the copy that takes its place
            try:
                raw.execute("VACUUM")
            except sqlite3.Error as error:
                raise failure(self.path, KIND, error) from error
            finally:
                raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _open(self) -> sqlite3.Connection:
        with about(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._require_header()
        connection = open_database(self.path, BUSY_SECONDS)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_header(self) -> None:
        """Refuse a file too short for any database: SQLite would write over some of them."""
        with reading(self.path):
            size = require_regular(self.path) or 0
            if 0 < size < HEADER_BYTES:
                raise FileFormatError(f"damaged or no {KIND} (only {size} bytes); move it away")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN")  # all that is looked at is of one moment
            ready = self._is_ready(connection)
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        if not ready:
            complete(connection)

    def _is_ready(self, connection: sqlite3.Connection) -> bool:
        """Return whether nothing has to be made; raise `FileFormatError` for any other file."""
        # Tables first: another process that is making the file writes them last.
        tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID and (tables or application):
            raise FileFormatError(f"{self.path}: a database of another program; move it away")
        if tables and version not in SCHEMAS:
            raise FileFormatError(
                f"{self.path}: written by store version {version}, this one reads up to "
                f"{STORE_VERSION}; move it away, what it holds is measured again"
            )
        with reading(self.path):
            return is_complete(connection, version if tables else STORE_VERSION)


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    found: Any = connection.connection.dbapi_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch a database to WAL; SQLite's own timeout does not cover two that do so at once."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
