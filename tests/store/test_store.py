"""The store: nothing is lost, nothing foreign is touched, and several may write."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import rlquant.documents.database
import rlquant.store.sqlite_file
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.errors import FileFormatError, RlquantError, SettingsError, StorageError
from rlquant.evaluation.looks import Look
from rlquant.score import Measurement
from rlquant.store.sqlite_file import SqliteFile
from rlquant.store.store import EvaluationStore
from strategies import damage

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


# --- what is kept


def test_what_was_put_is_found_by_problem_and_configuration(store: EvaluationStore) -> None:
    assert store.get("p", config(3)) is None
    store.put("p", config(3), MEASURED, 0.1)
    assert store.get("p", config(3)) == MEASURED
    assert store.get("p", config(4)) is None
    assert store.get("q", config(3)) is None


def test_an_infinite_loss_is_kept(store: EvaluationStore) -> None:
    store.put("p", config(3), Measurement(math.inf, 0.1, 200), 0.1)
    assert store.get("p", config(3)) == Measurement(math.inf, 0.1, 200)


def test_a_metric_that_is_no_number_is_kept(store: EvaluationStore) -> None:
    store.put("p", config(3), Measurement(0.5, math.nan, 200), 0.1)
    found = store.get("p", config(3))
    assert found is not None
    assert math.isnan(found.accuracy)
    assert (found.loss, found.samples) == (0.5, 200)


def test_numbers_come_back_bit_for_bit(store: EvaluationStore) -> None:
    measured = Measurement(0.1 + 0.2, 1 / 3, 7)
    store.put("p", config(3), measured, 0.1)
    assert store.get("p", config(3)) == measured


def test_the_first_record_stays(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1)
    store.put("p", config(3), Measurement(9.0, 0.0, 1), 0.1)
    assert store.get("p", config(3)) == MEASURED
    assert store.count() == 1


def looks(*lengths: int) -> list[Look]:
    return [np.arange(length) / 7 - math.pi for length in lengths]


def seen(store: EvaluationStore, *sizes: int) -> list[list[float]] | None:
    found = store.looks("p", config(3), sizes)
    return None if found is None else [look.tolist() for look in found]


def test_looks_come_back_bit_for_bit_in_their_sizes(store: EvaluationStore) -> None:
    assert seen(store, 3, 2) is None
    given = looks(3, 2)
    given[1][0] = math.inf
    store.put("p", config(3), None, 0.1, given)
    assert seen(store, 3, 2, 5) == [look.tolist() for look in given]
    assert store.get("p", config(3)) is None
    assert store.count() == 0
    assert store.looks("q", config(3), (3, 2)) is None


def test_no_looks_are_told_from_none_recorded(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1, [])
    assert seen(store, 3) == []
    store.put("p", config(4), MEASURED, 0.1)
    assert store.looks("p", config(4), (3,)) is None


def test_more_looks_take_the_place_of_fewer_until_the_evaluation_is_whole(
    store: EvaluationStore,
) -> None:
    store.put("p", config(4), MEASURED, 0.1, looks(2))  # another's, which is whole already
    for measured, sizes, kept in (
        (None, (2,), 1),
        (None, (2, 2, 2), 3),
        (None, (2, 2), 3),
        (MEASURED, (2, 2, 2, 2), 4),
        (None, (2, 2, 2, 2, 2), 4),
    ):
        store.put("p", config(3), measured, 0.1, looks(*sizes))
        found = seen(store, 2, 2, 2, 2, 2)
        assert found is not None
        assert len(found) == kept


@pytest.mark.parametrize("blob", ["x'00'", "zeroblob(16)", "zeroblob(56)", "'text'", "3"])
def test_looks_of_another_form_are_refused(tmp_path: Path, blob: str) -> None:
    path = written(tmp_path / "store.db")
    spoiled(path, f"INSERT INTO looks VALUES ('p', '{config(3).key}', {blob})")
    with pytest.raises(FileFormatError, match=r"store.db: damaged, the looks at an evaluation are"):
        EvaluationStore(path).looks("p", config(3), (1, 2, 3))


def test_expected_increases_come_back_bit_for_bit_and_the_first_ones_stay(
    store: EvaluationStore,
) -> None:
    found = np.array([[0.1, 2.0, 0.0]]) / 3
    assert store.increases("p", "plan", (1, 3)) is None
    store.put_increases("p", "plan", found)
    store.put_increases("p", "plan", found + 1)
    again = EvaluationStore(store.place)
    for problem, plan, known in (("p", "plan", True), ("q", "plan", False), ("p", "other", False)):
        stored = again.increases(problem, plan, (1, 3))
        assert (stored is not None and np.array_equal(stored, found)) == known


@pytest.mark.parametrize("blob", ["x'00'", "zeroblob(16)", "'text'", "x'000000000000F07F'"])
def test_expected_increases_of_another_form_are_refused(tmp_path: Path, blob: str) -> None:
    path = written(tmp_path / "store.db")
    spoiled(path, f"INSERT INTO increases VALUES ('p', 'plan', {blob})")
    with pytest.raises(FileFormatError, match=r"increases that are not 1 x 1 finite numbers"):
        EvaluationStore(path).increases("p", "plan", (1, 1))


def test_records_are_counted_by_problem_or_all(store: EvaluationStore) -> None:
    assert store.count() == store.count("p") == 0
    for bits, problem in ((2, "p"), (3, "p"), (2, "q")):
        store.put(problem, config(bits), MEASURED, 0.1)
    assert (store.count(), store.count("p"), store.count("q"), store.count("r")) == (3, 2, 1, 0)


def test_the_store_survives_reopening(tmp_path: Path) -> None:
    path = written(tmp_path / "store.db")
    again = EvaluationStore(path)
    assert again.get("p", config(3)) == MEASURED
    again.close()
    again.close()  # twice is no error
    assert again.get("p", config(3)) == MEASURED  # and the next use opens it


def test_nothing_is_made_before_first_use(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "store.db"
    store = EvaluationStore(path)
    assert not path.parent.exists()
    assert store.count() == 0
    assert path.exists()


def test_the_configuration_can_be_read_with_any_sqlite(tmp_path: Path) -> None:
    connection = sqlite3.connect(written(tmp_path / "store.db"))
    ((text, seconds),) = connection.execute("SELECT config, seconds FROM evaluations").fetchall()
    connection.close()
    assert QuantizationConfig.from_json(text) == config(3)
    assert seconds == 0.1


def test_a_store_crosses_processes_as_its_path(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1)
    copied = pickle.loads(pickle.dumps(store))
    assert copied.place == store.place
    assert copied.get("p", config(3)) == MEASURED


def test_a_forked_process_opens_its_own_connection(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1)
    mine = store.records
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        assert store.records is not mine
        assert store.get("p", config(3)) == MEASURED
        store.close()
    assert store.records is mine


# --- what is refused


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
    ],
    ids=["text", "overwritten", "truncated"],
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


# --- several at once


def test_many_may_make_the_same_file_at_the_same_time(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def work(path: Path, bits: int, barrier: threading.Barrier) -> None:
        store = EvaluationStore(path)
        barrier.wait()
        try:
            store.put("p", config(bits), MEASURED, 0.1)
        except Exception as error:
            errors.append(error)
        store.close()

    for attempt in range(10):
        path, barrier = tmp_path / f"{attempt}.db", threading.Barrier(6)
        threads = [threading.Thread(target=work, args=(path, i + 1, barrier)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert EvaluationStore(path).count() == 6


def test_threads_may_share_one_store(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "store.db")
    assert store.count() == 0  # opened by this thread
    barrier = threading.Barrier(4)
    errors: list[Exception] = []

    def work(first: int) -> None:
        barrier.wait()
        try:
            for bits in range(first, first + 4):
                store.put("p", config(bits), MEASURED, 0.1)
                assert store.get("p", config(bits)) == MEASURED
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (1, 5, 9, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.count("p") == 16
    store.close()  # the connections of all threads
    assert store.count("p") == 16


def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    code = """
import sys
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.sqlite_file import SqliteFile
from rlquant.store.store import EvaluationStore
store = EvaluationStore(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 100):
    choice = LayerChoice(f"layer{number}", 3)
    store.put("p", QuantizationConfig((choice,)), Measurement(float(number), 0.5, 10), 0.1)
"""
    path = tmp_path / "store.db"
    commands = [[sys.executable, "-c", code, str(path), start] for start in ("0", "50")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    store = EvaluationStore(path)
    assert store.count("p") == 150
    for number in (0, 75, 149):
        found = store.get("p", QuantizationConfig((LayerChoice(f"layer{number}", 3),)))
        assert found == Measurement(float(number), 0.5, 10)


def test_what_was_written_survives_a_killed_process(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.sqlite_file import SqliteFile
from rlquant.store.store import EvaluationStore
store = EvaluationStore(sys.argv[1])
store.put("p", QuantizationConfig((LayerChoice("conv", 3),)), Measurement(0.25, 0.75, 200), 0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "store.db"
    ran = subprocess.run([sys.executable, "-c", code, str(path)], env=dict(os.environ))
    assert ran.returncode == -9
    assert EvaluationStore(path).get("p", config(3)) == MEASURED
