"""Connections that are kept open between uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

pytest.importorskip("psycopg")

from rlquant.store.connections import Connection, Connections


@pytest.fixture
def connections(url: str) -> Iterator[Connections]:
    made = Connections(sa.make_url(url), lambda connection: None)
    yield made
    made.end()


def pids(connections: Connections, count: int) -> set[int]:
    """Return the server's processes behind so many connections that are taken at once."""
    if count == 0:
        return set()
    with connections.taken() as connection:
        return {connection.info.backend_pid} | pids(connections, count - 1)


def test_they_are_used_again(connections: Connections) -> None:
    first = pids(connections, 2)
    assert len(first) == 2
    assert pids(connections, 2) == first


def test_after_an_error_none_is(connections: Connections) -> None:
    before = pids(connections, 3)
    with connections.taken() as taken:
        with pytest.raises(ZeroDivisionError), connections.taken():
            raise ZeroDivisionError
        assert not taken.closed
    assert taken.closed  # it was made before the error
    assert not pids(connections, 3) & before


def test_one_that_is_given_back_after_the_end_is_closed(connections: Connections) -> None:
    held: list[Connection] = []
    with connections.taken() as before:
        connections.end()
        with connections.taken() as late:  # as a heartbeat may, which had begun
            held += [before, late]
        assert late.closed
    assert all(connection.closed for connection in held)
