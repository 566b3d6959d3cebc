from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from rlquant.errors import DataError
from rlquant.tasks.idx import read_idx

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
HEADER = bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4))


def test_values_and_shape_are_read_back(tmp_path: Path, write_idx) -> None:
    write_idx(tmp_path / "a.gz", VALUES)
    assert np.array_equal(read_idx(tmp_path / "a.gz", (2, 3, 4), remedy=""), VALUES)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(HEADER + bytes(24))[:-12], "is truncated"),
        (b"not gzip at all", "cannot be read"),
        (gzip.compress(HEADER + bytes(24))[:10] + b"\xff" * 30, "cannot be read"),
        (gzip.compress(b"\0\0\x0d\x03" + HEADER[4:] + bytes(96)), "starts with '00 00 0d 03'"),
        (gzip.compress(b""), "starts with ''"),
        (gzip.compress(HEADER[:10]), "ends within its header"),
        (gzip.compress(HEADER[:7] + b"\x05" + HEADER[8:] + bytes(60)), r"holds \(5, 3, 4\) values"),
        (gzip.compress(HEADER + bytes(23)), "23 bytes of values, its header says 24"),
        (gzip.compress(HEADER + bytes(25)), "more than 24 bytes of values, its header says 24"),
    ],
    ids=[
        "truncated",
        "not gzip",
        "bad stream",
        "another type",
        "empty",
        "header",
        "another shape",
        "too short",
        "too long",
    ],
)
def test_a_bad_file_is_one_error_with_its_name_and_a_remedy(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "bad.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path, (2, 3, 4), remedy="fetch it again")
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("fetch it again")


def test_a_small_file_that_unpacks_to_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(HEADER)
        for _ in range(64):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(DataError, match="more than 24 bytes of values"):
        read_idx(path, (2, 3, 4), remedy="")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.gz")
    with pytest.raises(DataError, match="cannot be read: it is a pipe"):
        read_idx(tmp_path / "a.gz", (1,), remedy="")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "none.gz", (1,), remedy="")
