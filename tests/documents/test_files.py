"""Only regular files within bounds are read; nothing waits for a pipe or takes endless memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rlquant.documents import read_file, read_text, require_regular
from rlquant.errors import FileFormatError


def test_the_bytes_of_a_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert require_regular(path) is None
    path.write_bytes(b"four")
    assert require_regular(path) == 4
    assert read_file(path, 4) == b"four"
    (tmp_path / "link").symlink_to(path)
    assert read_file(tmp_path / "link") == b"four"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "it is a folder, where a file should be; move it away"),
        (os.mkfifo, "it is a pipe, socket or device"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a pipe, socket or device"),
        (lambda path: path.write_bytes(b"12345"), "it has 5 bytes, a file of its kind at most 4"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40), "at most 4"),
    ],
)
def test_what_is_no_file_or_too_large_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "a")
    with pytest.raises(FileFormatError, match=message):
        read_file(tmp_path / "a", 4)


def test_what_the_system_refuses_stays_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / "none", tmp_path / ("a" * 300)):
        with pytest.raises(OSError, match="a"):
            read_file(path)
    with pytest.raises(FileFormatError, match="NUL"):
        read_file("a\0b")


def test_text_is_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffä".encode())
    assert read_text(tmp_path / "a") == "ä"
    (tmp_path / "a").write_bytes(b"a\xff")
    with pytest.raises(FileFormatError, match="no text in UTF-8"):
        read_text(tmp_path / "a")
