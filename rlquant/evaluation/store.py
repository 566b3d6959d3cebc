"""The evaluation store: a SQLite file of every evaluation, so that none is computed twice."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant.arguments import explained
from rlquant.config import QuantizationConfig
from rlquant.documents import parse_json, read_as, require_regular, shown
from rlquant.documents.database import failure, limit_steps, open_database, require_schema
from rlquant.errors import FileFormatError
from rlquant.evaluation.looks import Look
from rlquant.files import about, reading
from rlquant.paths import PathLike, path_of
from rlquant.score import Measurement

APPLICATION_ID = 0x726C7161  # "rlqa" in SQLite's header: tells our files from others
STORE_VERSION = 3
HEADER_BYTES = 100
KIND = "evaluation store"
Floats = npt.NDArray[np.float64]
BUSY_SECONDS = 60.0

_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS evaluations (
    problem TEXT NOT NULL, config_key TEXT NOT NULL, config TEXT NOT NULL,
    loss REAL, accuracy REAL, samples INTEGER NOT NULL, metrics TEXT NOT NULL,
    seconds REAL NOT NULL, recorded_at REAL NOT NULL, PRIMARY KEY (problem, config_key)
) WITHOUT ROWID
""",
    """
CREATE TABLE IF NOT EXISTS looks (
    problem TEXT NOT NULL, config_key TEXT NOT NULL, numbers BLOB NOT NULL,
    PRIMARY KEY (problem, config_key)
)
""",
    """
CREATE TABLE IF NOT EXISTS increases (
    problem TEXT NOT NULL, plan TEXT NOT NULL, numbers BLOB NOT NULL,
    PRIMARY KEY (problem, plan)
)
""",
)
"""What was measured whole, and the looks at evaluations, also at those that were ended early (see
`rlquant.evaluation.looks`): their numbers one after the other, little-endian float64. So are those
of expected increases (see `rlquant.sensitivity`), layer by layer."""

_PUT_LOOKS = """
INSERT INTO looks VALUES (:problem, :key, :numbers)
ON CONFLICT (problem, config_key) DO UPDATE SET numbers = excluded.numbers
WHERE length(excluded.numbers) >= length(numbers)
AND NOT EXISTS (SELECT 1 FROM evaluations WHERE problem = :problem AND config_key = :key)
"""
_PUT = "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class EvaluationStore:
    """Measurements by problem fingerprint and canonical configuration, in one SQLite file (WAL).

    Opened on first use and dropped when pickled, so that it crosses processes as its path. Several
    processes and threads may use one file at the same time.

    Attributes:
        computed: evaluations recorded through this object, those that were ended early included.
        seconds: time they took.
    """

    @explained
    def __init__(self, path: PathLike) -> None:
        self.path = path_of("store", path)
        self.computed, self.seconds = 0, 0.0
        # By process and thread: a connection is shared with no fork and no other thread.
        self._opened: dict[tuple[int, int], sqlite3.Connection] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "computed": 0, "seconds": 0.0, "_opened": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @explained
    def get(self, problem: str, config: QuantizationConfig) -> Measurement | None:
        """Return what was recorded for a canonical configuration, if anything was.

        Raises:
            FileFormatError: what is recorded is no measurement.
        """
        query = (
            "SELECT loss, accuracy, samples, metrics FROM evaluations "
            "WHERE problem = ? AND config_key = ?"
        )
        for loss, accuracy, samples, metrics in self._run((query, (problem, config.key))):
            if not (_is_number(loss) and _is_number(accuracy) and _is_count(samples)):
                raise FileFormatError(
                    f"{self.path}: damaged, it has an evaluation with loss={shown(loss)}, "
                    f"accuracy={shown(accuracy)}, samples={shown(samples)}; move it away"
                )
            return Measurement(
                math.inf if loss is None else loss,
                math.nan if accuracy is None else accuracy,
                samples,
                metrics=self._metrics(metrics),
            )
        return None

    def _metrics(self, text: Any) -> dict[str, float]:
        try:
            return read_as(dict[str, float], parse_json(text if isinstance(text, str) else ""))
        except FileFormatError as error:
            raise FileFormatError(
                f"{self.path}: damaged, the metrics of an evaluation are {shown(text)}: {error}; "
                f"move it away"
            ) from error

    def looks(
        self, problem: str, config: QuantizationConfig, sizes: Iterable[int]
    ) -> list[Look] | None:
        """Return the looks at a configuration's evaluation, None where none are recorded.

        Args:
            problem: fingerprint.
            config: canonical.
            sizes: how many numbers the first look has, the second, ...

        Raises:
            FileFormatError: what is recorded is made otherwise.
        """
        query = "SELECT numbers FROM looks WHERE problem = ? AND config_key = ?"
        for (numbers,) in self._run((query, (problem, config.key))):
            return list(self._split(numbers, sizes))
        return None

    def _split(self, numbers: Any, sizes: Iterable[int]) -> Iterator[Look]:
        blob = numbers if isinstance(numbers, bytes) else b"?"
        at = 0
        for size in sizes:
            if at == len(blob):
                return
            if at + 8 * size > len(blob):
                break
            yield np.frombuffer(blob, "<f8", size, at).astype(np.float64)
            at += 8 * size
        if at != len(blob):
            raise FileFormatError(
                f"{self.path}: damaged, the looks at an evaluation are {len(blob)} bytes, of which "
                f"{at} are whole; move it away"
            )

    @explained
    def put(
        self,
        problem: str,
        config: QuantizationConfig,
        measured: Measurement | None,
        seconds: float,
        looks: Sequence[Look] | None = None,
    ) -> None:
        """Record an evaluation; the first whole one of a configuration stays.

        Args:
            problem: fingerprint.
            config: canonical.
            measured: whole; None where the evaluation was ended early.
            seconds: that it took.
            looks: at the evaluation, None where nobody may end it. More take the place of fewer.
        """
        key = config.key
        statements: list[tuple[str, Any]] = []
        if looks is not None:
            numbers = b"".join(look.astype("<f8").tobytes() for look in looks)
            statements += [(_PUT_LOOKS, {"problem": problem, "key": key, "numbers": numbers})]
        if measured is not None:
            loss = measured.loss if math.isfinite(measured.loss) else None
            accuracy = None if math.isnan(measured.accuracy) else measured.accuracy
            metrics = json.dumps(dict(measured.metrics)) if measured.metrics else "{}"
            row = (problem, key, config.to_json(), loss, accuracy, measured.samples, metrics)
            statements += [(_PUT, (*row, seconds, time.time()))]
        self._run(*statements)
        self.computed += 1
        self.seconds += seconds

    def increases(self, problem: str, plan: str, shape: tuple[int, int]) -> Floats | None:
        """Return the expected increases of a plan, None where none are recorded.

        Args:
            problem: fingerprint.
            plan: key of what was quantized, and of how many gradients.
            shape: `(layers, options)`.

        Raises:
            FileFormatError: what is recorded is made otherwise.
        """
        query = "SELECT numbers FROM increases WHERE problem = ? AND plan = ?"
        for (blob,) in self._run((query, (problem, plan))):
            whole = isinstance(blob, bytes) and len(blob) == 8 * shape[0] * shape[1]
            found = np.frombuffer(blob if whole else b"", "<f8").astype(np.float64)
            if not whole or not np.isfinite(found).all():
                raise FileFormatError(
                    f"{self.path}: damaged, it has expected increases that are not {shape[0]} x "
                    f"{shape[1]} finite numbers; move it away"
                )
            return found.reshape(shape)
        return None

    def put_increases(self, problem: str, plan: str, increases: Floats) -> None:
        """Record finished expected increases, shape `(layers, options)`; the first ones stay."""
        row = (problem, plan, increases.astype("<f8").tobytes())
        self._run(("INSERT OR IGNORE INTO increases VALUES (?, ?, ?)", row))

    @explained
    def count(self, problem: str | None = None) -> int:
        """Return how many whole evaluations are recorded, of one problem or of all."""
        where, arguments = ("", ()) if problem is None else (" WHERE problem = ?", (problem,))
        # COUNT(*) would be one step of SQLite's, however long it takes
        return int(self._run(("SELECT COUNT(samples) FROM evaluations" + where, arguments))[0][0])

    def close(self) -> None:
        """Close the file in this process; the next use opens it again."""
        opened, self._opened = self._opened, {}
        for (process, _), connection in opened.items():
            if process == os.getpid():
                connection.close()

    def _run(self, *statements: tuple[str, Any]) -> list[tuple[Any, ...]]:
        """Execute statements with their arguments, all or none; return the rows of the last."""
        rows: list[tuple[Any, ...]] = []
        try:
            with self._connection() as connection:
                for statement, arguments in statements:
                    limit_steps(connection)
                    rows = connection.execute(statement, arguments).fetchall()
            return rows
        except sqlite3.ProgrammingError:
            raise  # a fault in the program, not in the file
        except sqlite3.Error as error:
            raise failure(self.path, KIND, error) from error

    def _connection(self) -> sqlite3.Connection:
        user = (os.getpid(), threading.get_ident())
        if user not in self._opened:
            self._opened[user] = self._open()
        return self._opened[user]

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
        # Tables first: another process that is making the file writes them last.
        tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID and (tables or application):
            raise FileFormatError(f"{self.path}: a database of another program; move it away")
        if tables and version != STORE_VERSION:
            raise FileFormatError(
                f"{self.path}: written by store version {version}, this one reads {STORE_VERSION}; "
                f"move it away, what it holds is measured again"
            )
        with reading(self.path):
            complete = require_schema(connection, _SCHEMA)
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        if complete:
            return
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {STORE_VERSION}")
            for table in _SCHEMA:
                connection.execute(table)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def _is_number(value: Any) -> bool:
    """Return whether a cell is what `put` writes into a column of numbers."""
    return value is None or (type(value) is float and math.isfinite(value))


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


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


def as_store(store: PathLike | EvaluationStore) -> EvaluationStore:
    """Return a store, opening the file of that name where a path is given.

    Raises:
        SettingsError: neither a store nor a path; see `path_of`.
    """
    if isinstance(store, EvaluationStore):
        return store
    return EvaluationStore(store)
