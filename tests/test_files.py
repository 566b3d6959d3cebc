"""Files are whole or not there, and what cannot be written is said with its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlquant.errors import StorageError
from rlquant.files import make_folder, write_file


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


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    words = r"b.txt: cannot be written \(No such file or directory\); is the disk full or the fo"
    with pytest.raises(StorageError, match=words):
        write_file(tmp_path / "missing" / "b.txt", "text")


def test_a_folder_is_made_and_tried(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    assert list(folder.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file: cannot be written \(File exists\)"):
        make_folder(tmp_path / "file")
