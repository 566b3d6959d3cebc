"""What holds on SQLite and on PostgreSQL alike, and what only one of them does."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from postgres_server import PostgresServer
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.errors import FileFormatError, SettingsError, StorageError
from rlquant.score import Measurement
from rlquant.store import postgres
from rlquant.store import store as store_module
from rlquant.store.place import require_no_password
from rlquant.store.sqlite_schema import APPLICATION_ID, SCHEMAS
from rlquant.store.store import EvaluationStore
from rlquant.store.tables import METADATA, STORE_VERSION

MEASURED = Measurement(0.25, 0.75, 200)


def config(bits: int) -> QuantizationConfig:
    return QuantizationConfig((LayerChoice("conv", bits),))


# --- places


def test_a_url_is_told_from_a_path(tmp_path: Path) -> None:
    assert EvaluationStore("a/b.db").place == Path("a/b.db").absolute()
    store = EvaluationStore("postgresql://me:secret@db.internal/x")
    assert store.place == "postgresql+psycopg://me:secret@db.internal/x"
    assert store.name == "postgresql+psycopg://me:***@db.internal/x"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("mysql://me:secret@there/x", "store='mysql://...': use the path of an SQLite file, or po"),
        ("sqlite:///x.db", "store='sqlite://...': use the path of an SQLite file, or postgresql"),
        ("postgresql://me:secret@there:port/x", "store='postgresql://...': no URL; use postgre"),
        (Path("postgresql+psycopg://me@there/x"), "a URL as a pathlib.Path loses a slash; give te"),
    ],
)
def test_another_place_is_refused_and_no_password_shown(place: str | Path, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        EvaluationStore(place)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_the_driver_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlquant.store.place.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs psycopg; pip install 'rlquant\[cluster\]'"):
        EvaluationStore("postgresql+psycopg://me@there/x")


@pytest.mark.parametrize(
    ("place", "tells"),
    [
        ("runs/a:b@c.sqlite", False),
        ("postgresql://me@there:5432/x", False),
        ("postgresql://me:secret@there/x", True),
        ("postgresql://there/x?user=me&password=secret", True),
    ],
)
def test_passwords_in_urls_are_seen(place: str, tells: bool) -> None:
    if not tells:
        require_no_password("--store", place)
        return
    with pytest.raises(SettingsError, match=r"--store: a password .* set PGPASSWORD or") as caught:
        require_no_password("--store", place)
    assert "secret" not in str(caught.value)


# --- versions


def test_both_databases_have_the_same_columns() -> None:
    connection = sqlite3.connect(":memory:")
    for statement in SCHEMAS[STORE_VERSION]:
        connection.execute(statement)
    for table in METADATA.tables.values():
        found = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
        sqlite = [(name, bool(required), bool(key)) for _, name, _, required, _, key in found]
        assert sqlite == [(c.name, not c.nullable, c.primary_key) for c in table.columns]
    connection.close()


def earlier(path: Path, version: int) -> Path:
    """Write a store as an earlier version did, with one evaluation."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    for statement in SCHEMAS[version]:
        connection.execute(statement)
    row = ["p", config(3).key, config(3).to_json(), 0.25, 0.75, 200, 0.1, 1e9]
    row[6:6] = ["{}"] if version > 2 else []
    marks = ", ".join("?" * len(row))
    with connection:
        connection.execute(f"INSERT INTO evaluations VALUES ({marks})", row)
        if version > 1:
            numbers = np.arange(3.0).tobytes()
            connection.execute("INSERT INTO looks VALUES (?, ?, ?)", (*row[:2], numbers))
    connection.close()
    return path


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_earlier_store_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    path = earlier(tmp_path / "s.db", version)
    store = EvaluationStore(path)
    assert store.get("p", config(3)) == MEASURED
    looks = store.looks("p", config(3), (3,))
    assert looks is None if version == 1 else (looks is not None and looks[0].tolist() == [0, 1, 2])
    store.put("p", config(4), Measurement(0.5, float("nan"), 200, metrics={"f1": 0.5}), 0.1)
    assert store.claim("p", [config(5)]) == [config(5)]
    store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (STORE_VERSION,)
    connection.close()
    assert EvaluationStore(path).count("p") == 2


def test_many_may_bring_a_store_up_to_date_at_the_same_time(tmp_path: Path) -> None:
    path, found = earlier(tmp_path / "s.db", 1), list[Measurement | None]()
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        found.append(EvaluationStore(path).get("p", config(3)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [MEASURED] * 4


def test_an_earlier_store_with_anything_else_in_it_is_refused(tmp_path: Path) -> None:
    path = earlier(tmp_path / "s.db", 1)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE more (x)")
    connection.close()
    with pytest.raises(FileFormatError, match="its 'more' is not what rlquant makes; move it away"):
        EvaluationStore(path).count()


def test_a_postgresql_store_of_another_version_is_left_alone(
    server: PostgresServer, url: str
) -> None:
    store = EvaluationStore(url)
    assert store.count() == 0
    schema = url.rpartition("%3D")[2]
    server.execute(f"UPDATE {schema}.store_version SET version = 9")
    with pytest.raises(FileFormatError, match="store version 9, this one reads 4; use the same rl"):
        EvaluationStore(url).count()
    store.close()


def test_a_postgresql_database_of_another_program_is_left_alone(
    server: PostgresServer, url: str
) -> None:
    server.execute(f"CREATE TABLE {url.rpartition('%3D')[2]}.looks (x INTEGER)")
    with pytest.raises(FileFormatError, match="its table looks is of another program; give a data"):
        EvaluationStore(url).count()


def test_many_may_make_the_same_postgresql_store_at_the_same_time(url: str) -> None:
    counts, barrier = list[int](), threading.Barrier(4)

    def work() -> None:
        store = EvaluationStore(url)
        barrier.wait()
        counts.append(store.count())
        store.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [0] * 4


# --- several rows at once, and rows that are no measurements


def test_what_two_put_at_the_same_time_is_there_once(store: EvaluationStore) -> None:
    barrier = threading.Barrier(2)

    def work(seed: int) -> None:
        mine = EvaluationStore(store.place)
        barrier.wait()
        for number in np.random.default_rng(seed).permutation(20):
            measured = Measurement(number / 7, 0.5, 10)
            mine.put("p", config(1 + int(number) % 16), measured, 0.1, [np.arange(3.0)])
        mine.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("p") == 16


def test_a_number_that_is_none_in_postgresql_is_refused_with_what_to_do(
    server: PostgresServer, url: str
) -> None:
    store = EvaluationStore(url)
    store.put("p", config(3), MEASURED, 0.1)
    server.execute(f"UPDATE {url.rpartition('%3D')[2]}.evaluations SET loss = 'Infinity'")
    words = r"damaged, it has an evaluation with loss=inf, .*; remove it with `rlquant store prune`"
    with pytest.raises(FileFormatError, match=words):
        store.get("p", config(3))
    store.close()


# --- servers that are not there


def test_a_server_that_is_not_there_is_said_to_be_at_once(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    store = EvaluationStore(f"postgresql+psycopg://me@/x?host={tmp_path}")
    with pytest.raises(StorageError, match=r"cannot be reached \(.*\); does the server run there"):
        store.count()


def test_a_server_that_restarts_is_waited_for(
    server: PostgresServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = EvaluationStore(url)
    store.put("p", config(3), MEASURED, 0.1)
    server.kill()
    later = threading.Timer(0.3, server.start)
    later.start()
    with caplog.at_level(logging.WARNING):
        store.put("p", config(4), MEASURED, 0.1)
    later.join()
    assert store.count("p") == 2
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.endswith("trying again for 120 s")
    store.close()


def test_what_a_lost_server_does_not_take_is_kept_in_a_file(
    server: PostgresServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(postgres, "RETRY_SECONDS", 0.2)
    store = EvaluationStore(url)
    store.put("p", config(3), MEASURED, 0.1)
    moved = server.folder.with_name(f"{server.folder.name}-moved")
    database = store.records.database
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    socket = server.folder / ".s.PGSQL.5432"
    socket.rename(moved)
    try:
        with pytest.raises(StorageError, match=r"lost for 0 s .* is in .*rlquant-unsent.sqlite: s"):
            store.put("p", config(4), MEASURED, 0.1, [np.arange(3.0)])
        with pytest.raises(StorageError, match="give the same command again: it goes on from"):
            store.get("p", config(4))
    finally:
        moved.rename(socket)
    assert store.get("p", config(4)) is None
    kept = EvaluationStore(tmp_path / store_module.UNSENT)
    assert kept.get("p", config(4)) == MEASURED
    assert kept.looks("p", config(4), (3,)) is not None
    assert database is store.records.database
    store.close()


def test_what_is_recorded_can_be_read_with_any_client(url: str) -> None:
    import psycopg

    store = EvaluationStore(url)
    store.put("p", config(3), Measurement(0.25, 0.75, 200, metrics={"f1": 0.5}), 0.1)
    store.close()
    schema = url.rpartition("%3D")[2]
    host = url.partition("host=")[2].partition("&")[0].replace("%2F", "/")
    with psycopg.connect(host=host, user="rlquant", dbname="postgres") as connection:
        (row,) = connection.execute(f"SELECT config, metrics FROM {schema}.evaluations").fetchall()
    assert QuantizationConfig.from_json(row[0]) == config(3)
    assert json.loads(row[1]) == {"f1": 0.5}


# --- what a server had not on its disk


@pytest.fixture
def rare_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing after a store's first commit wait for the disk, however long it takes."""
    monkeypatch.setattr("rlquant.store.unflushed.FLUSH_SECONDS", 600.0)


@pytest.mark.usefixtures("rare_flushes")
def test_what_a_killed_server_had_not_written_is_recorded_again(
    server: PostgresServer, url: str
) -> None:
    store, other = EvaluationStore(url), EvaluationStore(url)
    for attempt in range(1, 4):  # the server writes by itself every 10 s, perhaps just now
        for bits in range(1, 13):  # of which the first of all waits for the disk
            store.put(f"p{attempt}", config(bits), MEASURED, 0.1)
        assert other.count() == 12 * attempt
        server.kill()
        server.start()
        if other.count() < 12 * attempt:
            break
        assert store.count() == 12 * attempt
    else:
        pytest.fail("a killed server lost nothing, three times")
    put = 12 * attempt
    assert store.count() == put
    assert other.count() == put
    store.close()
    server.kill()
    server.start()
    assert other.count() == put
    other.close()


def test_evaluations_that_take_long_are_on_the_disk_when_put_returns(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlquant.store.unflushed.FLUSH_SECONDS", 0.0)
    store, other = EvaluationStore(url), EvaluationStore(url)
    for bits in range(1, 13):
        store.put("p", config(bits), MEASURED, 0.1)
    server.kill()
    server.start()
    assert other.count() == 12
    store.close()
    other.close()


@pytest.mark.usefixtures("rare_flushes")
def test_a_store_whose_server_has_gone_can_be_closed(
    server: PostgresServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = EvaluationStore(url)
    for bits in (3, 4):
        store.put("p", config(bits), MEASURED, 0.1)
    server.kill()
    store.close()
    server.start()
    (said,) = caplog.messages
    assert said.endswith("recorded in the last second may have to be measured again")
    assert store.count() >= 1
    store.close()
