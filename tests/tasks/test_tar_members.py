from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.errors import DataError
from rlquant.tasks.tar_members import read_members

CONTENTS = {"data/a.bin": bytes(range(200)), "data/b.bin": b"b" * 700}
SIZES = {name: len(content) for name, content in CONTENTS.items()}


def tar(contents: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """An uncompressed archive of files, and of what a TarInfo stands for."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in contents.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "data/b.bin"
    member.size = 200 if kind == tarfile.SYMTYPE else 0
    return member


GOOD = tar(CONTENTS)
PACKED = gzip.compress(GOOD, mtime=0)


def test_wanted_files_are_read_and_nothing_is_written(tmp_path: Path) -> None:
    others = {"../../evil": b"no", "data": special("data", tarfile.DIRTYPE), "readme": b"hello"}
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar(others | CONTENTS)))
    assert read_members(path, SIZES, remedy="") == CONTENTS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PACKED[:-12], "is truncated"),
        (PACKED[: len(PACKED) // 2], "is truncated"),
        (b"not gzip at all", "cannot be read: Not a gzipped file"),
        (PACKED[:10] + b"\xff" + PACKED[11:], "cannot be read: zlib error: Error -3"),
        (PACKED[:-8] + bytes(4) + PACKED[-4:], "cannot be read: CRC check failed"),
        (gzip.compress(b"not tar" * 100), "cannot be read"),
        (gzip.compress(GOOD[:900]), "cannot be read: unexpected end of data"),
        (b"", "cannot be read: empty file"),
        (gzip.compress(tar({"other": b"x"})), r"holds no data/a\.bin, so it is another archive"),
        (
            gzip.compress(tar(CONTENTS | {"data/b.bin": b"b"})),
            r"b\.bin with 1 bytes, expected.*700",
        ),
        (
            gzip.compress(tar(CONTENTS | {"data/a.bin": special("data/a.bin", tarfile.SYMTYPE)})),
            r"a\.bin with 200 bytes, expected a regular file of 200",
        ),
    ],
    ids=[
        "end cut off",
        "half",
        "not gzip",
        "bad stream",
        "bad checksum",
        "not tar",
        "short tar",
        "empty",
        "another archive",
        "another size",
        "link",
    ],
)
def test_a_bad_archive_is_one_error_with_its_name_and_a_remedy(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_members(path, SIZES, remedy="fetch it again")
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith("fetch it again")


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_members(tmp_path / "none.tar.gz", SIZES, remedy="")


@given(place=st.integers(0, len(PACKED) - 1), flip=st.integers(1, 255))
def test_no_flipped_byte_changes_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    damaged = bytearray(PACKED)
    damaged[place] ^= flip
    assert read_or_none(tmp_path_factory, bytes(damaged)) in (CONTENTS, None)


@given(place=st.integers(0, len(GOOD) - 1), noise=st.binary(min_size=1, max_size=20))
def test_noise_in_the_archive_gives_the_one_error_or_whole_files(
    tmp_path_factory: pytest.TempPathFactory, place: int, noise: bytes
) -> None:
    damaged = GOOD[:place] + noise + GOOD[place + len(noise) :]
    read = read_or_none(tmp_path_factory, gzip.compress(damaged))
    assert read is None or {name: len(content) for name, content in read.items()} == SIZES


def read_or_none(factory: pytest.TempPathFactory, content: bytes) -> dict[str, bytes] | None:
    path = factory.getbasetemp() / "damaged.tar.gz"
    path.write_bytes(content)
    try:
        return read_members(path, SIZES, remedy="")
    except DataError:
        return None


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlquant.tasks.tar_members.BESIDE_BYTES", 2**22)
    bombs = {"pad": bytes(2**23)}, CONTENTS | {"pad": bytes(2**23)}
    path = tmp_path / "a.tar.gz"
    for contents in bombs:
        path.write_bytes(gzip.compress(tar(contents)))
        with pytest.raises(DataError, match="it unpacks to more than the files of the data set"):
            read_members(path, SIZES, remedy="")
    path.write_bytes(gzip.compress(GOOD + bytes(2**23)))
    with pytest.raises(DataError, match="it unpacks to more than the files of the data set"):
        read_members(path, SIZES, remedy="")
