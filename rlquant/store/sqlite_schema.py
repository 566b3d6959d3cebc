"""The tables of an SQLite store as its file spells them, of every version, and migration."""

from __future__ import annotations

import sqlite3

from rlquant.documents.database import limit_steps, require_schema
from rlquant.store.tables import STORE_VERSION

APPLICATION_ID = 0x726C7161  # "rlqa" in SQLite's header: tells our files from others

_EVALUATIONS = """
CREATE TABLE IF NOT EXISTS evaluations (
    problem TEXT NOT NULL, config_key TEXT NOT NULL, config TEXT NOT NULL,
    loss REAL, accuracy REAL, samples INTEGER NOT NULL, metrics TEXT NOT NULL,
    seconds REAL NOT NULL, recorded_at REAL NOT NULL, PRIMARY KEY (problem, config_key)
) WITHOUT ROWID
"""
_EVALUATIONS_2 = _EVALUATIONS.replace(" metrics TEXT NOT NULL,", "")
_EVALUATIONS_1 = _EVALUATIONS_2.replace("accuracy REAL,", "accuracy REAL NOT NULL,")
_LOOKS = """
CREATE TABLE IF NOT EXISTS looks (
    problem TEXT NOT NULL, config_key TEXT NOT NULL, numbers BLOB NOT NULL,
    PRIMARY KEY (problem, config_key)
)
"""
_INCREASES = """
CREATE TABLE IF NOT EXISTS increases (
    problem TEXT NOT NULL, plan TEXT NOT NULL, numbers BLOB NOT NULL,
    PRIMARY KEY (problem, plan)
)
"""
_LEASES = """
CREATE TABLE IF NOT EXISTS leases (
    problem TEXT NOT NULL, config_key TEXT NOT NULL, owner TEXT NOT NULL,
    expires_at REAL NOT NULL, PRIMARY KEY (problem, config_key)
) WITHOUT ROWID
"""
SCHEMAS = {
    1: (_EVALUATIONS_1,),
    2: (_EVALUATIONS_2, _LOOKS),
    3: (_EVALUATIONS, _LOOKS, _INCREASES),
    STORE_VERSION: (_EVALUATIONS, _LOOKS, _INCREASES, _LEASES),
}
"""Version -> what makes its tables. A file is refused unless its tables are exactly these."""

_COPY = """
INSERT INTO evaluations SELECT problem, config_key, config, loss, accuracy, samples, '{}',
seconds, recorded_at FROM earlier
"""


def is_complete(connection: sqlite3.Connection, version: int) -> bool:
    """Return whether a file has all tables of its version, and is of the present one.

    Raises:
        FileFormatError: it has others.
    """
    whole = require_schema(connection, SCHEMAS[version])
    return whole and version == STORE_VERSION


def complete(connection: sqlite3.Connection) -> None:
    """Make what a file lacks, and bring an earlier version to the present one, all or nothing."""
    limit_steps(connection)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another may be done
        renamed = version in (1, 2)
        if renamed:
            connection.execute("ALTER TABLE evaluations RENAME TO earlier")
        for table in SCHEMAS[STORE_VERSION]:
            connection.execute(table)
        if renamed:
            connection.execute(_COPY)
            connection.execute("DROP TABLE earlier")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {STORE_VERSION}")
