"""Files that are no store, or not any more: refused, left alone, and nothing in them runs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import rlquant.documents.database
import rlquant.store.sqlite_file
from rlquant.errors import FileFormatError, RlquantError, SettingsError, StorageError
from rlquant.store.store import EvaluationStore
from stored import MEASURED, config, raw, spoiled, written
from strategies import damage


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = spoiled(tmp_path / "theirs.db", "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    for use in (EvaluationStore.count, lambda store: store.get("p", config(3))):
        with pytest.raises(FileFormatError, match=r"theirs.db: a database of another program; mo"):
            use(EvaluationStore(path))
    assert path.read_bytes() == before


def test_a_store_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = spoiled(written(tmp_path / "store.db"), "PRAGMA user_version = 7")
    with pytest.raises(FileFormatError, match="store version 7, this one reads up to 4; m"):
        EvaluationStore(path).count()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"not a database, but long enough to be looked at " * 50,
        lambda content: content[:100] + b"\xff" * (len(content) - 100),
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"CREATE TABLE looks", b"CR\x80ATE TABLE looks"),
    ],
    ids=["text", "overwritten", "truncated", "misspelt"],
)
def test_a_damaged_file_is_said_to_be(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = written(tmp_path / "store.db")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileFormatError, match=r"store.db: damaged or no evaluation store \(.*\);"):
        EvaluationStore(path).get("p", config(3))


@pytest.mark.parametrize("size", [1, 99])
def test_a_file_too_short_for_a_store_is_left_alone(tmp_path: Path, size: int) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"x" * size)
    words = rf"store.db: damaged or no evaluation store \(only {size} bytes\); move it away"
    with pytest.raises(FileFormatError, match=words):
        EvaluationStore(path).put("p", config(3), MEASURED, 0.1)
    assert path.read_bytes() == b"x" * size


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    assert EvaluationStore(path).count() == 0


def test_a_fault_in_the_program_is_not_said_to_be_damage(tmp_path: Path) -> None:
    store = EvaluationStore(written(tmp_path / "store.db"))
    raw(store).close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        store.count()


def test_a_folder_that_cannot_be_made_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match=r"file: cannot be written \(") as caught:
        EvaluationStore(tmp_path / "file" / "store.db").count()
    assert isinstance(caught.value, OSError)


def test_a_file_that_cannot_be_opened_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    with pytest.raises(StorageError, match=r"loop.db: cannot be read: Too many levels of symbol"):
        EvaluationStore(tmp_path / "loop.db").count()
    with pytest.raises(SettingsError, match="a name of 300 bytes, use at most 255"):
        EvaluationStore(tmp_path / ("a" * 300))
    unable = r"cannot be used \(unable to open database file\); is its folder there"
    (tmp_path / "store.db").symlink_to(tmp_path / "none" / "store.db")
    with pytest.raises(StorageError, match=unable):
        EvaluationStore(tmp_path / "store.db").count()


@pytest.mark.parametrize("beside", ["", "-wal", "-journal", "-shm"])
@pytest.mark.parametrize(("make", "kind"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe")])
def test_what_is_no_file_is_not_opened(
    tmp_path: Path, beside: str, make: Callable[[Path], None], kind: str
) -> None:
    make(tmp_path / f"store.db{beside}")
    with pytest.raises(FileFormatError, match=rf"store.db{beside}: it is {kind}"):
        EvaluationStore(tmp_path / "store.db").count()


@pytest.mark.parametrize("beside", ["-wal", "-journal", "-shm"])
def test_a_link_beside_a_store_does_not_lead_to_another_file(tmp_path: Path, beside: str) -> None:
    path, victim = written(tmp_path / "store.db"), tmp_path / "victim"
    victim.write_text("precious" * 1000)
    path.with_name(path.name + beside).symlink_to(victim)
    with pytest.raises(FileFormatError, match=f"store.db{beside}: it is a link, where a file"):
        EvaluationStore(path).put("p", config(4), MEASURED, 0.1)
    assert victim.read_text() == "precious" * 1000


def test_a_journal_that_has_another_file_deleted_is_not_played_back(tmp_path: Path) -> None:
    path, victim = written(tmp_path / "store.db"), tmp_path / "victim"
    victim.write_text("precious")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(victim).encode()
    pages = path.stat().st_size // 4096
    head = magic + struct.pack(">IIIII", 0, 0, pages, 512, 4096)
    last = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name))
    (tmp_path / "store.db-journal").write_bytes(head.ljust(512, b"\0") + last + magic)
    with pytest.raises(FileFormatError, match=r"store.db-journal: it is the journal of several"):
        EvaluationStore(path).get("p", config(3))
    assert victim.exists()
    (tmp_path / "store.db-journal").unlink()
    assert EvaluationStore(path).get("p", config(3)) == MEASURED


@settings(max_examples=25, deadline=None)
@given(data=st.data(), beside=st.sampled_from(["-journal", "-wal", "-shm"]))
def test_leftovers_of_a_stranger_beside_a_store_change_nothing_unnoticed(
    data: st.DataObject, beside: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("leftovers") / "store.db")
    path.with_name(path.name + beside).write_bytes(data.draw(st.binary(min_size=1, max_size=200)))
    store = EvaluationStore(path)
    with contextlib.suppress(RlquantError):
        assert store.get("p", config(3)) == MEASURED
    store.close()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.mark.parametrize(
    ("statements", "name"),
    [
        (
            [
                "CREATE TRIGGER slow BEFORE INSERT ON evaluations BEGIN "
                "SELECT 1 WHERE (SELECT COUNT(*) FROM evaluations a, evaluations b) > 0; END"
            ],
            "slow",
        ),
        (
            ["CREATE TRIGGER undo AFTER INSERT ON evaluations BEGIN DELETE FROM evaluations; END"],
            "undo",
        ),
        (["DROP TABLE evaluations", f"CREATE VIEW evaluations AS {ENDLESS}"], "evaluations"),
        (["CREATE INDEX more ON evaluations (loss + abs(accuracy))"], "more"),
        (["CREATE TABLE more (x)"], "more"),
        (["ALTER TABLE evaluations ADD COLUMN more GENERATED ALWAYS AS (loss)"], "evaluations"),
        (["ALTER TABLE evaluations RENAME COLUMN loss TO lost"], "evaluations"),
    ],
)
def test_a_store_with_anything_else_in_it_is_refused(
    tmp_path: Path, statements: list[str], name: str
) -> None:
    path = written(tmp_path / "store.db")
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
    connection.close()
    begun = time.process_time()
    with pytest.raises(FileFormatError, match="move it away"):
        EvaluationStore(path).put("p", config(4), MEASURED, 0.1)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("change", "shows"),
    [
        ("loss = 'low'", "loss='low'"),
        ("loss = x'00'", r"loss=b'\\x00'"),
        ("loss = 9e999", "loss=inf"),
        ("loss = CAST(x'ff' AS TEXT)", "loss='\ufffd'"),
        ("accuracy = 'high'", "accuracy='high'"),
        ("samples = 0.5", "samples=0.5"),
        ("samples = 'many'", "samples='many'"),
        ("samples = 0", "samples=0"),
        ("loss = printf('%.*c', 1000000, 'x')", "loss='x"),
    ],
)
def test_a_cell_of_another_type_is_not_handed_on(tmp_path: Path, change: str, shows: str) -> None:
    path = spoiled(written(tmp_path / "store.db"), f"UPDATE evaluations SET {change}")
    with pytest.raises(FileFormatError, match=f"damaged, it has an evaluation with .*{shows}") as e:
        EvaluationStore(path).get("p", config(3))
    assert len(str(e.value)) <= 500


def test_endless_tables_are_not_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rlquant.documents.database, "STEPS_TO_OPEN", 1000)
    path = written(tmp_path / "store.db")
    assert EvaluationStore(path).count() == 1
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("BEGIN")
        for number in range(200):
            connection.execute(f"CREATE TABLE t{number} (x)")
    connection.close()
    with pytest.raises(FileFormatError, match=r"\(interrupted\); move it away"):
        EvaluationStore(path).count()


def test_a_cell_that_is_too_large_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rlquant.documents.database, "MOST_CELL_BYTES", 10_000)
    change = "UPDATE evaluations SET loss = zeroblob(20000)"
    path = spoiled(written(tmp_path / "store.db"), change)
    with pytest.raises(FileFormatError, match="string or blob too big"):
        EvaluationStore(path).get("p", config(3))


def test_a_statement_that_does_not_end_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EvaluationStore(written(tmp_path / "store.db"))
    assert store.count() == 1
    with pytest.raises(FileFormatError, match=r"\(interrupted\); move it away"):
        store.records.database.run((sa.text(f"SELECT COUNT(i) FROM ({ENDLESS})"), {}))
    assert store.count() == 1


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_or_leaves_a_measurement(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("damaged") / "store.db")
    path.write_bytes(data.draw(damage(path.read_bytes())))
    store = EvaluationStore(path)
    with contextlib.suppress(RlquantError):
        found = store.get("p", config(3))
        assert found is None or type(found.loss) is float
        store.put("p", config(4), MEASURED, 0.1)
        assert store.count() >= 0
    store.close()


def test_a_full_disk_is_said_to_be(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "store.db")
    connection = raw(store)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match=r"cannot be used \(database or disk is full\)"):
        store.put("p" * 100_000, config(3), MEASURED, 0.1)
    assert store.count() == 0  # what was recorded can still be read


@pytest.mark.parametrize(
    ("make", "statements"),
    [
        (Path, ("BEGIN EXCLUSIVE",)),  # a fresh file that nobody else may read
        (Path, ("BEGIN", "SELECT * FROM sqlite_master")),  # one that cannot be switched to WAL
        (written, ("BEGIN IMMEDIATE",)),  # a store in which somebody else writes
    ],
)
def test_a_file_that_stays_locked_is_said_to_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], Path],
    statements: tuple[str, ...],
) -> None:
    monkeypatch.setattr(rlquant.store.sqlite_file, "BUSY_SECONDS", 0.05)
    path = make(tmp_path / "store.db")
    other = sqlite3.connect(path)
    for statement in statements:
        other.execute(statement).fetchall()
    with pytest.raises(StorageError, match=r"cannot be used \(database is locked\)"):
        EvaluationStore(path).put("p", config(4), MEASURED, 0.1)
    other.close()
    EvaluationStore(path).put("p", config(4), MEASURED, 0.1)
