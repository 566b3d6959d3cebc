"""One run at a time in a folder, and nobody waits for one that has ended."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from rlquant.errors import FolderInUseError, SettingsError, StorageError
from rlquant.folder_lock import LOCK, held, held_file
from rlquant.process_identity import ProcessIdentity

HOLDING = """
import sys, time
from rlquant.folder_lock import held
with held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the folder until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def left_behind(folder: Path, **fields: object) -> Path:
    """Write a lock file as another process would have left it."""
    lock = folder / LOCK
    document = {**asdict(ProcessIdentity.own()), "since": "2026-01-02 03:04:05", **fields}
    lock.write_text(json.dumps(document))
    return lock


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a file system that has none."""

    def refuse(opened: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_folder_is_made_held_and_let_go(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with held(folder) as out:
        assert out.path == folder
        assert os.fspath(out) == str(out) == str(folder)
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert list(folder.iterdir()) == []


def test_the_second_is_told_who_holds_it_and_writes_nothing(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    before = (tmp_path / LOCK).read_bytes()
    words = rf"another run writes here, process {other.pid} on .* since 20..-.*; wait for its end"
    with pytest.raises(FolderInUseError, match=words), held(tmp_path):
        raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert (tmp_path / LOCK).read_bytes() == before
    other.communicate("end\n")
    with held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_killed_holds_nothing(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    other.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert (tmp_path / LOCK).exists()
    with held(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_two_threads_and_two_calls_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    refused: list[str] = []

    def hold() -> None:
        try:
            with held(tmp_path):
                pass
        except FolderInUseError as error:
            refused.append(str(error))

    with held(tmp_path):
        hold()
        thread = threading.Thread(target=hold)
        thread.start()
        thread.join()
    hold()
    assert len(refused) == 2


def test_whoever_is_given_a_held_folder_does_not_ask_again(tmp_path: Path) -> None:
    with held(tmp_path) as out:
        with held(out) as inner:
            assert inner is out
        with pytest.raises(FolderInUseError), held(tmp_path):
            raise AssertionError


def test_an_error_in_the_block_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_error_takes_empty_folders_with_it_that_were_made_for_the_block(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for folder in (there, there / "runs" / "a"):
        with pytest.raises(KeyError), held(folder):
            raise KeyError
        assert list(there.iterdir()) == []
    with suppress(KeyError), held(there / "runs" / "a") as kept:
        (kept.path / "result.json").write_text("{}")
        raise KeyError
    assert [path.name for path in there.rglob("*")] == ["runs", "a", "result.json"]


def test_a_folder_that_is_deleted_meanwhile_is_no_error(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        (tmp_path / "run" / LOCK).unlink()
        (tmp_path / "run").rmdir()


def test_a_lock_that_somebody_replaced_is_left_to_him(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).write_text("another one's")
    assert (tmp_path / LOCK).read_text() == "another one's"


def test_of_another_machine_it_is_said_that_nobody_can_know(tmp_path: Path) -> None:
    lock = left_behind(tmp_path, host="node7", boot="another start", pid=4711)
    words = (
        r"may be writing here, process 4711 on 'node7' since 2026-01-02 03:04:05; whether it "
        rf"still runs cannot be told from here: where it does not, delete the file {LOCK} there"
    )
    with pytest.raises(FolderInUseError, match=words), held(tmp_path):
        raise AssertionError
    lock.unlink()
    with held(tmp_path):
        pass


@pytest.mark.parametrize(
    "fields",
    [{"boot": "before the restart"}, {"started": 1}, {"pid": 2**22 + 1}, {"space": "pid:[1]"}],
)
def test_what_was_left_behind_on_this_machine_is_taken_over(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    left_behind(tmp_path, **fields)
    with held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{}", b"[1]", b"{" * 4000, b'{"pid": "x"}', b"9" * 5000, b'{"since": 1}'],
)
def test_a_lock_file_of_other_contents_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    with held(tmp_path):
        pass


@pytest.mark.parametrize("field", ["pid", "started", "host", "boot", "space"])
@pytest.mark.parametrize("value", [1.5, True, ["x"], None, -3])
def test_a_lock_file_of_other_types_ends_in_no_raw_error(
    tmp_path: Path, field: str, value: object
) -> None:
    left_behind(tmp_path, **{field: value})
    with held(tmp_path):
        pass


def test_without_locks_of_the_file_system_the_file_alone_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    with held(tmp_path), pytest.raises(FolderInUseError, match="may be writing"), held(tmp_path):
        raise AssertionError
    own = ProcessIdentity.own()
    left_behind(tmp_path, started=(own.started or 2) - 1)  # its number is another's by now
    with held(tmp_path):
        pass


def test_another_error_of_locking_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(opened: int, how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match="Input/output"), held(tmp_path):
        raise AssertionError


def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("precious")
    (tmp_path / LOCK).symlink_to(kept)
    with pytest.raises(StorageError, match="symbolic link"), held(tmp_path):
        raise AssertionError
    assert kept.read_text() == "precious"
    (tmp_path / LOCK).unlink()
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(StorageError, match="no file has its name"), held(tmp_path):
        raise AssertionError


def test_a_folder_that_cannot_be_looked_into_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(StorageError, match="Permission denied"), held(tmp_path / "run"):
        pass


def test_a_wrong_folder_is_named_as_the_argument_that_it_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="folder=3: give a path"), held(3, "folder"):
        raise AssertionError


def test_files_are_held_one_by_one(tmp_path: Path) -> None:
    one, other = tmp_path / "new" / "a.rlt", tmp_path / "new" / "b.rlt"
    with held_file(one), held_file(other), pytest.raises(FolderInUseError), held_file(one):
        raise AssertionError
    assert list((tmp_path / "new").iterdir()) == []
