"""What a store needs of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

Row = tuple[Any, ...]
Values = Mapping[str, Any]
Statement = tuple[sa.Executable, Values | Sequence[Values]]
"""A statement, and its values: of one execution, or of several."""


class Database(Protocol):
    """Tables of a store, opened on first use; for one process and all its threads.

    Attributes:
        name: as errors show it.
        remedy: what to do where something in it is damaged.
        returns: whether any version of it that is in use has INSERT ... RETURNING.
    """

    name: str
    remedy: str
    returns: bool

    def insert(self, table: sa.Table) -> Any:
        """Return an INSERT with `on_conflict_do_nothing` and `on_conflict_do_update`."""

    def now(self) -> sa.ColumnElement[float]:
        """Return the database's time in seconds since 1970."""

    def run(self, *statements: Statement) -> list[Row]:
        """Execute statements, all or none; return the rows of the last.

        Executing them twice must do no harm: a lost connection does not tell whether they were.

        Raises:
            FileFormatError: it is damaged, or no store.
            StorageError: it cannot be used now.
        """

    def shrink(self) -> None:
        """Give the room of what was deleted back, where that is not done by itself."""

    def close(self) -> None:
        """Close it; the next use opens it again."""


def executed(connection: sa.Connection, statement: Statement) -> list[Row]:
    """Execute a statement and return its rows; none where it has none."""
    ran = connection.execute(*statement)
    return [tuple(row) for row in ran] if ran.returns_rows else []
