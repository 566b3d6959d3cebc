"""Statements as psycopg takes them, and how many of them an evaluation is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

pytest.importorskip("psycopg")

import psycopg

from postgres_server import PostgresServer
from rlquant.store.commands import Commands
from rlquant.store.store import EvaluationStore
from rlquant.store.tables import evaluations, leases, looks
from stored import MEASURED, config

OF_KEY = leases.c.config_key == sa.bindparam("key")
END = sa.delete(leases).where(OF_KEY)
FORGET = sa.delete(looks).where(looks.c.config_key == sa.bindparam("key"))


def test_statements_that_write_a_row_each_are_one() -> None:
    (command,) = Commands().of(((FORGET, {"key": "a"}), (END, {"key": "b"})))
    text = " ".join(command.text.decode().split())
    assert text == (
        "WITH step0 AS (DELETE FROM looks WHERE looks.config_key = %s::VARCHAR) "
        "DELETE FROM leases WHERE leases.config_key = %s::VARCHAR"
    )
    assert (command.values, command.is_lasting) == (["a", "b"], True)


def test_what_reads_or_writes_several_rows_or_one_table_twice_stays_apart() -> None:
    one, several, read = (END, {"key": "a"}), (FORGET, [{"key": "b"}, {"key": "c"}]), sa.select(1)
    for statements in ((one, several), (one, one), (one, (read, {}))):
        assert len(Commands().of(statements)) == 2
    end, forget = Commands().of((one, several))
    assert (end.is_lasting, forget.is_lasting) == (False, True)
    assert forget.values == [["b"], ["c"]]
    assert Commands().of(()) == []


def test_lists_and_percent_signs_come_through(server: PostgresServer, url: str) -> None:
    store = EvaluationStore(url)
    for bits in (3, 4):
        store.put("100 %s", config(bits), MEASURED, 0.1)
    columns = evaluations.c
    statement = sa.select(columns.config_key).where(
        columns.problem.like("100 %"), columns.config_key.in_([config(3).key, "another"])
    )
    run = store.records.database.run
    assert run((statement, {})) == [(config(3).key,)]
    assert run((statement.where(columns.problem.in_([])), {})) == []
    store.close()


def test_a_claim_and_what_follows_it_are_two_statements(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, real = list[str](), psycopg.Connection.execute

    def execute(self: Any, text: Any, *arguments: Any) -> Any:
        told.append(bytes(text).decode().split()[0] if isinstance(text, bytes) else text)
        return real(self, text, *arguments)

    store, other = EvaluationStore(url), EvaluationStore(url)
    store.put("p", config(2), MEASURED, 0.1)  # makes the tables, and flushes
    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    assert store.claim("p", [config(3)]) == [config(3)]
    store.put("p", config(3), MEASURED, 0.1, [np.arange(3.0)])
    assert told == ["INSERT", "WITH"]
    monkeypatch.undo()
    assert other.claim("p", [config(3)]) == [config(3)]
    assert other.looks("p", config(3), (3,)) is not None
    assert other.get("p", config(3)) == MEASURED
    for each in (store, other):
        each.close()
