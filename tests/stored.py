"""A store with one evaluation, written, spoiled and looked into by tests."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.sqlite_file import SqliteFile
from rlquant.store.store import EvaluationStore

MEASURED = Measurement(0.25, 0.75, 200)


def config(bits: int) -> QuantizationConfig:
    return QuantizationConfig((LayerChoice("conv", bits),))


def spoiled(path: Path, statement: str) -> Path:
    """Write to a database as another program would."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()
    return path


def written(path: Path) -> Path:
    store = EvaluationStore(path)
    store.put("p", config(3), MEASURED, 0.1)
    store.close()
    return path


def raw(store: EvaluationStore) -> sqlite3.Connection:
    """Return the one connection of a store that one thread uses."""
    database = store.records.database
    assert isinstance(database, SqliteFile)
    with database.engine.connect() as connection:
        found = connection.connection.dbapi_connection
    assert isinstance(found, sqlite3.Connection)
    return found
