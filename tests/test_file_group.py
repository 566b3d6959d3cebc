"""Several files are replaced together, wherever the process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlquant.errors import StorageError
from rlquant.file_group import COMMITTED, current, settle, write_together
from rlquant.files import make_folder

OLD, NEW = {"a": b"old a", "b": b"old b", "c": b"old"}, {"a": b"new a", "b": b"new b", "c": b"new"}

# A child for each point at which the disk is asked for something; it is killed there.
KILLED_EVERYWHERE = """
import os, shutil, signal, sys
from pathlib import Path
from rlquant.file_group import write_together

new = {"a": b"new a", "b": b"new b", "c": b"new"}
calls = ["mkdir", "open", "fsync", "rename", "replace", "rmdir", "unlink"]
point = 0
while True:
    folder = Path(sys.argv[1]) / str(point)
    folder.mkdir()
    write_together(folder, {"a": b"old a", "b": b"old b", "c": b"old"})
    child = os.fork()
    if child == 0:
        left = point

        def killing(call):
            def killed(*given, **named):
                global left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                return call(*given, **named)
            return killed

        for name in calls:
            setattr(os, name, killing(getattr(os, name)))
        write_together(folder, new)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        break
    point += 1
print(point)
"""


def view(folder: Path) -> dict[str, bytes]:
    return {name: current(folder, name).read_bytes() for name in OLD}


def test_files_are_replaced_together(tmp_path: Path) -> None:
    write_together(tmp_path, OLD)
    assert view(tmp_path) == OLD
    write_together(tmp_path, NEW)
    assert view(tmp_path) == NEW
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == NEW


def test_wherever_a_process_is_killed_all_are_old_or_all_are_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    points = int(done.stdout)
    assert points > 12
    found = []
    for point in range(points):
        folder = tmp_path / str(point)
        before = view(folder)
        assert before in (OLD, NEW)
        found.append(before == NEW)
        make_folder(folder)  # the next run, which clears what was left and goes on
        settle(folder, NEW)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert found == sorted(found)  # from one moment on they are the new ones
    assert not found[0]
    assert found[-1]


def test_what_was_committed_is_not_lost_by_the_next_write(tmp_path: Path) -> None:
    write_together(tmp_path, OLD)
    (tmp_path / COMMITTED).mkdir()
    (tmp_path / COMMITTED / "b").write_bytes(b"new b")
    assert view(tmp_path) == {**OLD, "b": b"new b"}
    write_together(tmp_path, {"a": b"newer"})
    assert view(tmp_path) == {**OLD, "a": b"newer"}


def test_what_a_link_leads_to_is_left_alone(tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "folder"
    for made in (other, folder):
        made.mkdir()
    write_together(other, OLD)
    (folder / COMMITTED).symlink_to(other)
    with pytest.raises(StorageError, match="move it away"):
        write_together(folder, NEW)
    assert view(other) == OLD


def test_a_write_that_fails_leaves_the_old_files_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_together(tmp_path, OLD)

    def full(opened: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="make room on the disk"):
        write_together(tmp_path, NEW)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == OLD
