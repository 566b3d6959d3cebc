"""Stores to test: a new one each time, in an SQLite file and on a PostgreSQL server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from postgres_server import PostgresServer, programs, user
from rlquant.store.store import EvaluationStore

_numbers = itertools.count()


def started() -> PostgresServer:
    """Return a running server, or skip the test with the reason."""
    found, account = programs(), user()
    if found is None:
        pytest.skip("no PostgreSQL server on this machine: on Debian, apt install postgresql")
    if account is None:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'rlquant[cluster]'")
    server = PostgresServer(found, account)
    server.start()
    return server


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Return a PostgreSQL server that tests share, also those that kill and restart it."""
    running = started()
    yield running
    running.stop()


@pytest.fixture
def url(server: PostgresServer) -> str:
    """Return the URL of a store that is not there yet."""
    schema = f"store{next(_numbers)}"
    server.execute(f"CREATE SCHEMA {schema}")
    return server.url(schema)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EvaluationStore]:
    """Return a new store, on SQLite and on PostgreSQL."""
    sqlite = request.param == "sqlite"
    made = EvaluationStore(tmp_path / "s.db" if sqlite else request.getfixturevalue("url"))
    yield made
    made.close()
