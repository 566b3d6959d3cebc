"""Untrusted SQLite files: no code in them runs, their tables are exactly the expected ones."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from rlquant.documents.files import require_regular
from rlquant.errors import FileFormatError, RlquantError, StorageError
from rlquant.files import reading

MOST_CELL_BYTES = 2**27
MOST_STEPS = 50_000_000
"""Steps of SQLite's virtual machine that one statement may take, some seconds of work."""
STEPS_TO_OPEN = 50_000
"""Every table that is defined takes a few of them, so that a file cannot define endless ones."""

BESIDE = ("-journal", "-wal", "-shm")
"""Files that SQLite reads beside a database."""

_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked; wait for that to end, or end it",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked; wait for that to end, or end it",
    sqlite3.SQLITE_FULL: "free some space, or give another place",
    sqlite3.SQLITE_READONLY: "it or its folder is read-only; give another place",
    sqlite3.SQLITE_CANTOPEN: "is its folder there, and may it be written? else give another place",
}


def open_database(path: Path, timeout: float) -> sqlite3.Connection:
    """Open an SQLite file, or a new one where nothing is, for statements of ours alone.

    Args:
        path: the file.
        timeout: seconds to wait for one that another process has locked.

    Raises:
        FileFormatError: something else than a file is there, or beside it under a name that
            SQLite reads; or a journal that would have another file deleted.
        StorageError: a name that the system does not take.
        sqlite3.Error: it cannot be opened; see `failure`.
    """
    with reading(path):
        require_regular(path)
    for beside in BESIDE:
        _require_no_link(path.with_name(path.name + beside))
    _require_own_journal(path.with_name(f"{path.name}-journal"))
    connection = sqlite3.connect(path, timeout=timeout, check_same_thread=False)
    try:
        limit_steps(connection, STEPS_TO_OPEN)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_CELL_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.text_factory = _text
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _require_no_link(beside: Path) -> None:
    """Raise `FileFormatError` for a link: SQLite would write over what it leads to."""
    with reading(beside):
        if require_regular(beside) is not None and beside.is_symlink():
            raise FileFormatError("it is a link, where a file of SQLite's should be; move it away")


def _require_own_journal(journal: Path) -> None:
    """Raise `FileFormatError` for a journal of several databases.

    SQLite deletes the file that such a journal names once it has played it back, whatever that is.
    """
    with reading(journal), suppress(FileNotFoundError):  # whoever made it may delete it meanwhile
        if require_regular(journal):
            with open(journal, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - len(_SEVERAL)))
                if file.read() == _SEVERAL:
                    raise FileFormatError("it is the journal of several databases; move it away")


_SEVERAL = bytes.fromhex("d9d505f920a163d7")
"""What a journal ends with that names another file, by the format of SQLite's journals."""


def limit_steps(connection: sqlite3.Connection, most: int = MOST_STEPS) -> None:
    """Have whatever comes next interrupted after so many steps of SQLite's virtual machine."""
    connection.set_progress_handler(_stop, most)


def require_schema(connection: sqlite3.Connection, statements: Sequence[str]) -> bool:
    """Return whether a database has all tables that `statements` create.

    Raises:
        FileFormatError: it has others, triggers, views or indexes, which could do anything.
    """
    expected = _schema_of(tuple(statements))
    found = _read_schema(connection, len(expected) + 1)
    if not found <= expected:
        name = min(str(entry[1]) for entry in found - expected)
        raise FileFormatError(f"its {name[:80]!r} is not what rlquant makes; move it away")
    return found == expected


def failure(path: Path, kind: str, error: sqlite3.Error) -> RlquantError:
    """Return what an error of SQLite's means for a file: it is damaged, or not to be had now.

    Args:
        path: the file.
        kind: what it should be, in words.
        error: what SQLite raised.
    """
    code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _ADVICE or code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
        advice = _ADVICE.get(code, "is the disk in order, and may the file be used?")
        return StorageError(f"{path}: cannot be used ({error}); {advice}")
    return FileFormatError(f"{path}: damaged or no {kind} ({error}); move it away")


def _stop() -> int:
    return 1


def _text(encoded: bytes) -> str:
    return encoded.decode(errors="replace")


Schema = frozenset[tuple[str | None, ...]]


@cache
def _schema_of(statements: tuple[str, ...]) -> Schema:
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    found = _read_schema(connection, 1000)
    connection.close()
    return found


def _read_schema(connection: sqlite3.Connection, most: int) -> Schema:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT ?"
    rows = connection.execute(query, (most,)).fetchall()
    return frozenset(tuple(_one_line(value) for value in row) for row in rows)


def _one_line(value: object) -> str | None:
    return None if value is None else " ".join(str(value).split())
