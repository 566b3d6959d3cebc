"""What psycopg is told: SQLAlchemy's statements as text, those that write one row each as one.

SQLAlchemy takes longer to execute a statement than psycopg does and the server, and each statement
of a transaction is a trip to the server and back. So the text of a statement is made once, and
several that write are one statement with the others in its WITH clause, which is a transaction by
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.dml import UpdateBase

from rlquant.store.database import Row, Statement, Values
from rlquant.store.tables import leases

DIALECT: Any = PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
REMEMBERED = 64
"""Statements whose text is kept."""


@dataclass(frozen=True, slots=True)
class Command:
    """A statement as psycopg takes it.

    Attributes:
        text: with %s where a value goes.
        values: of one execution, or those of several.
        is_many: whether they are of several.
        is_lasting: whether it writes what must outlive a crash of the server; leases do not.
    """

    text: bytes
    values: list[Any]
    is_many: bool
    is_lasting: bool

    def execute(self, connection: psycopg.Connection[Any]) -> list[Row]:
        """Execute it, and return its rows; none where it has none."""
        if not self.is_many:
            ran = connection.execute(self.text, self.values)
            return ran.fetchall() if ran.description else []
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(self.text, self.values, returning=True)
            rows = cursor.fetchall() if cursor.description else []
            while cursor.nextset():
                rows += cursor.fetchall() if cursor.description else []
        return rows


class Commands:
    """Makes commands of statements, and remembers the text of those that come again."""

    def __init__(self) -> None:
        self._text = lru_cache(REMEMBERED)(_text)

    def of(self, statements: tuple[Statement, ...]) -> list[Command]:
        """Return commands that do the same: one, where each writes to a table of its own."""
        commands = [self._command(*statement) for statement in statements]
        tables = {executable.table for executable, _ in statements if _writes(executable)}
        is_one = len(tables) == len(statements) and not any(made.is_many for made in commands)
        if len(commands) < 2 or not is_one:
            return commands
        return [_together(commands)]

    def _command(self, executable: sa.Executable, given: Values | Sequence[Values]) -> Command:
        text = self._text(executable)
        is_lasting = _writes(executable) and executable.table is not leases
        if isinstance(given, Mapping):
            return Command(text.text, text.values(given), is_many=False, is_lasting=is_lasting)
        values = [text.values(each) for each in given]
        return Command(text.text, values, is_many=True, is_lasting=is_lasting)


@dataclass(frozen=True, slots=True)
class _Text:
    """Text of a statement, the names of its values in their order, and those that it has itself."""

    text: bytes
    names: tuple[str, ...]
    own: Values

    def values(self, given: Values) -> list[Any]:
        return [given[name] if name in given else self.own[name] for name in self.names]


def _text(executable: sa.Executable) -> _Text:
    compiled: Any = executable.compile(dialect=DIALECT)  # type: ignore[attr-defined]
    if compiled.post_compile_params:  # lists, of any length
        spelled = {"render_postcompile": True}
        compiled = executable.compile(dialect=DIALECT, compile_kwargs=spelled)  # type: ignore[attr-defined]
    return _Text(str(compiled).encode(), tuple(compiled.positiontup), compiled.params)


def _writes(executable: sa.Executable) -> TypeGuard[UpdateBase]:
    return isinstance(executable, UpdateBase)


def _together(commands: Sequence[Command]) -> Command:
    """Return one command of several that write; each sees what was there before any of them."""
    *first, last = commands
    steps = [b"step%d AS (%b)" % (place, command.text) for place, command in enumerate(first)]
    return Command(
        b"WITH %b %b" % (b", ".join(steps), last.text),
        [value for command in commands for value in command.values],
        is_many=False,
        is_lasting=any(command.is_lasting for command in commands),
    )
