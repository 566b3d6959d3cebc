"""Files are whole or not there, and what cannot be written is said with its name."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rlquant.errors import StorageError
from rlquant.files import make_folder, sync_folder, write_file
from rlquant.process_identity import ProcessIdentity


@pytest.mark.parametrize("content", ["later", b"later"])
def test_a_file_is_replaced_whole(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "a.txt"
    write_file(path, "before")
    write_file(path, content)
    assert path.read_bytes() == b"later"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_file_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a.txt"
    write_file(path, "before")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, "later")
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "make room on the disk"),
        (errno.EDQUOT, "your quota"),
        (errno.EROFS, "a place that can be written"),
        (errno.EACCES, "a place that you may write"),
        (errno.EFBIG, "ulimit -f"),
    ],
)
def test_what_the_system_refuses_is_said_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match=words) as caught:
        write_file(tmp_path / "a.txt", "text")
    assert os.strerror(number) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_none_is_said_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"b.txt: cannot be written .*; make its folder first"):
        write_file(tmp_path / "missing" / "b.txt", "text")
    with pytest.raises(StorageError, match=r"\(Not a directory\); a file stands where a folder"):
        write_file(tmp_path / "file" / "b.txt", "text")
    with pytest.raises(StorageError, match=r"\(Is a directory\); a folder stands where a file"):
        write_file(tmp_path / "folder", "text")
    with pytest.raises(StorageError, match=r"\(File name too long\); give a sho") as caught:
        write_file(tmp_path / ("n" * 300), "text")
    assert len(str(caught.value)) < 400
    with pytest.raises(StorageError, match=r"\(File exists\); a file stands where a folder"):
        make_folder(tmp_path / "file")


def test_text_that_is_no_unicode_is_written_with_backslashes(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", os.fsdecode(b"runs/\xff"))
    assert (tmp_path / "a.txt").read_bytes() == rb"runs/\udcff"


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(opened: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        done.append("folder" if is_folder else f"file of {os.fstat(opened).st_size}")
        sync(opened)

    def replaced(source: Path, target: Path) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_file(tmp_path / "a.txt", "four")
    assert done == ["file of 4", "name", "folder"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_disk_that_syncs_files_only_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(opened: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)


def test_a_folder_is_made_and_tried(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    assert list(folder.iterdir()) == []


# --- what killed writes leave


def part(folder: Path, pid: int, started: int, place: str) -> Path:
    path = folder / f".{pid}-{started}-{place}-00000000.part"
    path.write_bytes(b"half")
    return path


def place_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return how a process of this machine says in a file's name where it runs."""
    names: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda source, target: names.append(source.name))
        write_file(folder / "x", "text")
    for left in folder.iterdir():
        left.unlink()
    return names[0].split("-")[2]


def test_what_a_killed_write_left_is_cleared_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_here(tmp_path, monkeypatch)
    own = ProcessIdentity.own()
    killed = part(tmp_path, 2**22 + 1, 1, place)  # above the largest number of a process
    recycled = part(tmp_path, own.pid, (own.started or 2) - 1, place)
    living = part(tmp_path, own.pid, own.started or 0, place)
    of_another_machine = part(tmp_path, 7, 1, "0" * 12)
    old = part(tmp_path, 8, 1, "0" * 12)
    os.utime(old, (0, 0))
    strange = tmp_path / ".notes.part"
    strange.touch()
    make_folder(tmp_path)
    assert set(tmp_path.iterdir()) == {living, of_another_machine, strange}
    assert not killed.exists()
    assert not recycled.exists()


def test_a_write_that_is_killed_leaves_the_old_file_and_what_the_next_run_clears(
    tmp_path: Path,
) -> None:
    code = (
        "import os, signal, sys, pathlib\n"
        "from rlquant.files import write_file\n"
        "os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_file(pathlib.Path(sys.argv[1]), 'later')\n"
    )
    path = tmp_path / "a.txt"
    write_file(path, "before")
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    make_folder(tmp_path)
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["before"]
