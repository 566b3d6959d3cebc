"""The statements of a store: what is read, recorded, counted and removed, in either database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa

from rlquant.store.database import Database, Row, Statement, Values
from rlquant.store.tables import evaluations, increases, leases, looks

PAGE = 500
"""Rows that one statement reads or writes where there may be any number."""
TABLES = {table.name: table for table in (evaluations, looks, increases)}
"""What is kept; leases are not."""


class Records:
    """Rows of a store, in a database.

    Args:
        database: where its tables are.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._evaluation = _select(evaluations, "loss", "accuracy", "samples", "metrics")
        self._looks = _select(looks, "numbers")
        self._increases = _select(increases, "numbers")
        self._put = {name: self._upsert(table) for name, table in TABLES.items()}

    def _upsert(self, table: sa.Table) -> sa.Executable:
        """Return what records a row: the first stays, but that more looks replace fewer."""
        insert = self.database.insert(table)
        if table is not looks:
            statement: sa.Executable = insert.on_conflict_do_nothing()
            return statement
        numbers, longer = looks.c.numbers, insert.excluded.numbers
        whole = sa.exists().where(*_of_looks())
        replaced: sa.Executable = insert.on_conflict_do_update(
            index_elements=["problem", "config_key"],
            set_={"numbers": longer},
            where=sa.and_(sa.func.length(longer) >= sa.func.length(numbers), ~whole),
        )
        return replaced

    def evaluation(self, problem: str, key: str) -> Row | None:
        """Return loss, accuracy, samples and metrics of an evaluation, None where there is none."""
        return self._one(self._evaluation, problem, key)

    def looks(self, problem: str, key: str) -> Row | None:
        """Return the numbers of the looks at an evaluation."""
        return self._one(self._looks, problem, key)

    def increases(self, problem: str, plan: str) -> Row | None:
        """Return the numbers of expected increases."""
        return self._one(self._increases, problem, plan)

    def _one(self, statement: sa.Executable, problem: str, key: str) -> Row | None:
        rows = self.database.run((statement, {"problem": problem, "key": key}))
        return rows[0] if rows else None

    def put(self, rows: Mapping[str, Sequence[Values]], *more: Statement) -> None:
        """Record rows of tables, and execute `more`, all or nothing.

        Args:
            rows: name of a table -> its rows. Looks go before the evaluations that they are of.
            more: statements that go with them.
        """
        statements = [
            (self._put[name], values[0] if len(values) == 1 else values)
            for name in ("looks", "evaluations", "increases")
            if (values := rows.get(name))
        ]
        self.database.run(*statements, *more)

    def count(self, problem: str | None = None) -> int:
        """Return how many evaluations there are, of one problem or of all."""
        # COUNT(*) would be one step of SQLite's, however long it takes
        statement = sa.select(sa.func.count(evaluations.c.samples))
        if problem is not None:
            statement = statement.where(evaluations.c.problem == problem)
        return int(self.database.run((statement, {}))[0][0])

    def summaries(self) -> list[Row]:
        """Return a row for each problem, newest first.

        Its columns: problem, evaluations, least loss, seconds, time of the newest.
        """
        columns, newest = evaluations.c, sa.func.max(evaluations.c.recorded_at)
        statement = (
            sa.select(
                columns.problem,
                sa.func.count(columns.samples),
                sa.func.min(columns.loss),
                sa.func.sum(columns.seconds),
                newest,
            )
            .group_by(columns.problem)
            .order_by(newest.desc(), columns.problem)
        )
        return self.database.run((statement, {}))

    def best(self, problem: str, most: int) -> list[Row]:
        """Return the evaluations of a problem with the least losses, all columns."""
        columns = evaluations.c
        statement = (
            sa.select(evaluations)
            .where(columns.problem == problem)
            .order_by(columns.loss.is_(None), columns.loss, columns.config_key)
            .limit(most)
        )
        return self.database.run((statement, {}))

    def pages(self, table: sa.Table) -> Iterator[list[Values]]:
        """Yield all rows of a table in pages, in the order of their keys."""
        names = [column.name for column in table.columns]
        first, second = keys = list(table.primary_key.columns)
        statement = sa.select(table).order_by(*keys).limit(PAGE)
        page = self.database.run((statement, {}))
        while page:
            yield [dict(zip(names, row, strict=True)) for row in page]
            after = statement.where(
                sa.or_(first > page[-1][0], sa.and_(first == page[-1][0], second > page[-1][1]))
            )
            page = self.database.run((after, {})) if len(page) == PAGE else []

    def unknown(self, table: sa.Table, rows: Sequence[Values]) -> list[Values]:
        """Return those rows whose keys a table does not have."""
        first, second = table.primary_key.columns
        problems = {row["problem"] for row in rows}
        keys = {row[second.name] for row in rows}
        statement = sa.select(first, second).where(
            first.in_(sorted(problems)), second.in_(sorted(keys))
        )
        known = set(self.database.run((statement, {})))
        return [row for row in rows if (row["problem"], row[second.name]) not in known]

    def remove(self, problems: Sequence[str], before: float | None) -> None:
        """Delete what is recorded, and leases that nobody holds any more.

        Args:
            problems: of these; of all where there is none.
            before: only evaluations that were recorded before, in seconds since 1970, with their
                looks; None for all, and looks and increases too.
        """
        age = evaluations.c.recorded_at
        old = _of(evaluations, problems) & (sa.true() if before is None else age < before)
        statements: list[sa.Executable] = []
        if before is None:
            statements += [
                sa.delete(table).where(_of(table, problems)) for table in TABLES.values()
            ]
        else:
            of_old = sa.exists().where(*_of_looks(), old)
            statements += [sa.delete(looks).where(of_old), sa.delete(evaluations).where(old)]
        expired = sa.delete(leases).where(leases.c.expires_at < self.database.now())
        self.database.run(*((statement, {}) for statement in (*statements, expired)))


def _of_looks() -> tuple[sa.ColumnElement[bool], ...]:
    """Return what holds of the evaluation that a row of `looks` is of.

    As text, since SQLAlchemy would read `looks` once more where an upsert means its own row.
    """
    names = ("problem", "config_key")
    return tuple(evaluations.c[name] == sa.literal_column(f"looks.{name}") for name in names)


def _of(table: sa.Table, problems: Sequence[str]) -> sa.ColumnElement[bool]:
    return table.c.problem.in_(problems) if problems else sa.true()


def _select(table: sa.Table, *columns: str) -> sa.Executable:
    """Return what reads columns of the row with the key `problem` and `key`."""
    first, second = table.primary_key.columns
    found = sa.select(*(table.c[name] for name in columns))
    return found.where(first == sa.bindparam("problem"), second == sa.bindparam("key"))
