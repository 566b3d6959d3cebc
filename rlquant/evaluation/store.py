"""Every evaluation, written to a file as it happens, so that none is ever computed twice."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from rlquant.config import QuantizationConfig
from rlquant.errors import FileFormatError, SettingsError, StorageError
from rlquant.score import Measurement

APPLICATION_ID = 0x726C7161  # "rlqa" in SQLite's header: tells our files from others
STORE_VERSION = 1
HEADER_BYTES = 100
BUSY_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations (
    problem TEXT NOT NULL, config_key TEXT NOT NULL, config TEXT NOT NULL,
    loss REAL, accuracy REAL, samples INTEGER NOT NULL,
    seconds REAL NOT NULL, recorded_at REAL NOT NULL, PRIMARY KEY (problem, config_key)
) WITHOUT ROWID
"""


class EvaluationStore:
    """Measurements by problem fingerprint and canonical configuration, in one SQLite file (WAL).

    Opened on first use and dropped when pickled, so that it crosses processes as its path. Several
    processes and threads may use one file at the same time.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # By process and thread: a connection is shared with no fork and no other thread.
        self._opened: dict[tuple[int, int], sqlite3.Connection] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def get(self, problem: str, config: QuantizationConfig) -> Measurement | None:
        """Return what was recorded for a canonical configuration, if anything was."""
        query = (
            "SELECT loss, accuracy, samples FROM evaluations WHERE problem = ? AND config_key = ?"
        )
        for loss, accuracy, samples in self._run(query, (problem, config.key)):
            return Measurement(
                math.inf if loss is None else loss,
                math.nan if accuracy is None else accuracy,
                samples,
            )
        return None

    def put(
        self, problem: str, config: QuantizationConfig, measured: Measurement, seconds: float
    ) -> None:
        """Record a measurement; the first one recorded for a configuration stays."""
        loss = measured.loss if math.isfinite(measured.loss) else None
        accuracy = None if math.isnan(measured.accuracy) else measured.accuracy
        row = (problem, config.key, config.to_json(), loss, accuracy, measured.samples)
        statement = "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._run(statement, (*row, seconds, time.time()))

    def count(self, problem: str | None = None) -> int:
        """Return how many evaluations are recorded, of one problem or of all."""
        where, arguments = ("", ()) if problem is None else (" WHERE problem = ?", (problem,))
        return int(self._run("SELECT COUNT(*) FROM evaluations" + where, arguments)[0][0])

    def close(self) -> None:
        """Close the file in this process; the next use opens it again."""
        opened, self._opened = self._opened, {}
        for (process, _), connection in opened.items():
            if process == os.getpid():
                connection.close()

    def _run(self, statement: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            with self._connection() as connection:
                return connection.execute(statement, arguments).fetchall()
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"{self.path}: cannot be used ({error}); is the disk full or the folder read-only?"
            ) from error
        except sqlite3.ProgrammingError:
            raise  # a fault in the program, not in the file
        except sqlite3.DatabaseError as error:
            raise FileFormatError(
                f"{self.path}: damaged or no evaluation store ({error}); move it away"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        user = (os.getpid(), threading.get_ident())
        if user not in self._opened:
            self._opened[user] = self._open()
        return self._opened[user]

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path.parent}: cannot be made ({error})") from error
        self._require_header()
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_SECONDS,
            check_same_thread=False,  # `close` closes those of all threads
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_header(self) -> None:
        """Refuse a file too short for any database: SQLite would write over some of them."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        if 0 < size < HEADER_BYTES:
            raise FileFormatError(
                f"{self.path}: damaged or no evaluation store (only {size} bytes); move it away"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Tables first: another process that is making the file writes them last.
        tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise FileFormatError(f"{self.path}: a database of another program; move it away")
        if tables and version != STORE_VERSION:
            raise FileFormatError(
                f"{self.path}: written by store version {version}, this one reads {STORE_VERSION}"
            )
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {STORE_VERSION}")
            connection.execute(_SCHEMA)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


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


def as_store(store: str | Path | EvaluationStore) -> EvaluationStore:
    """Return a store, opening the file of that name where a path is given.

    Raises:
        SettingsError: neither a store nor a path.
    """
    if isinstance(store, EvaluationStore):
        return store
    if not isinstance(store, (str, Path)):
        raise SettingsError(f"store={store!r}, give a path or an EvaluationStore")
    return EvaluationStore(store)
