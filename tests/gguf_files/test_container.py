"""Headers of GGUF files from strangers: one clear error, and no more memory than the file has."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.errors import FileFormatError, StorageError
from rlquant.gguf.container import HEAD, MAGIC, GgufFile, TensorInfo, encode_header
from rlquant.gguf.values import decode, encode
from strategies import damage

pytest.importorskip("gguf")

METADATA = {
    "general.architecture": encode("string", "llama"),
    "llama.block_count": encode("uint32", 2),
    "tokenizer.ggml.tokens": encode("string", ["a", "bé", ""]),
    "tokenizer.ggml.token_type": encode("int32", [1, 3, 1]),
    "some.truth": encode("bool", True),
    "some.truths": encode("bool", [True, False]),
    "some.share": encode("float64", [0.25]),
}
TENSORS = (TensorInfo("one", (2, 32), 2), TensorInfo("two", (3,), 0))
SIZES = (36, 12)
THREE = struct.pack("<I", 3)
DATA = bytes(range(36)) + bytes(28) + np.array([1, 2, 3], "<f4").tobytes() + bytes(20)
FILE = encode_header(METADATA, zip(TENSORS, SIZES, strict=True)) + DATA


def opened(folder: Path, content: bytes) -> GgufFile:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return GgufFile.open(path)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = opened(tmp_path, FILE)
    assert {key: file.value(key) for key in file.metadata} == {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "tokenizer.ggml.tokens": ["a", "bé", ""],
        "tokenizer.ggml.token_type": [1, 3, 1],
        "some.truth": True,
        "some.truths": [True, False],
        "some.share": [0.25],
    }
    assert file.tensors == {info.name: info for info in TENSORS}
    assert file.raw("one").tobytes() == bytes(range(36))
    assert file.floats("two").tolist() == [1, 2, 3]
    with pytest.raises(FileFormatError, match="no metadata 'other'"):
        file.value("other")


def refusal(folder: Path, content: bytes) -> str:
    """What is said of a file, nothing where all of it can be read."""
    try:
        file = opened(folder, content)
        for value in file.metadata.values():
            decode(value)
        for name in file.tensors:
            file.raw(name)
    except FileFormatError as error:
        return str(error)
    return ""


@settings(max_examples=300, deadline=None)
@given(content=damage(FILE) | st.binary(max_size=200).map(lambda rest: MAGIC + THREE + rest))
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    said = refusal(tmp_path_factory.mktemp("damaged"), content)
    assert not said or "model.gguf: " in said


def head(tensors: int = 0, entries: int = 0) -> bytes:
    return HEAD.pack(MAGIC, 3, tensors, entries)


KEY = struct.pack("<Q", 1) + b"k"
ENDLESS = {
    "empty": b"",
    "text": b"<html>" * 20,
    "big-endian": MAGIC + struct.pack(">I", 3) + bytes(16),
    "tensors": head(tensors=2**60),
    "metadata": head(entries=2**60),
    "string": head(entries=1) + struct.pack("<Q", 2**62),
    "strings": head(entries=1) + KEY + struct.pack("<IIQ", 9, 8, 2**61) + bytes(4000),
    "numbers": head(entries=1) + KEY + struct.pack("<IIQ", 9, 12, 2**61) + bytes(4000),
    "nested": head(entries=1) + KEY + struct.pack("<IIQ", 9, 9, 2**61) + bytes(4000),
    "twice": head(entries=2) + 2 * (KEY + encode("bool", True)),
    "alignment": head(entries=1)
    + struct.pack("<Q", 17)
    + b"general.alignment"
    + encode("uint32", 0),
    "axes": head(tensors=1) + KEY + struct.pack("<I", 2**31) + bytes(400),
    "none": head(tensors=1) + KEY + struct.pack("<IQIQ", 1, 0, 0, 0) + bytes(400),
    "large": head(tensors=1) + KEY + struct.pack("<I4QIQ", 4, *[2**60] * 4, 0, 0) + bytes(400),
    "outside": head(tensors=1) + KEY + struct.pack("<IQIQ", 1, 2**40, 0, 0) + bytes(400),
    "behind": head(tensors=1) + KEY + struct.pack("<IQIQ", 1, 4, 0, 2**62) + bytes(400),
    "unknown type": head(tensors=1) + KEY + struct.pack("<IQIQ", 1, 4, 999, 0) + bytes(400),
    "block": head(tensors=1) + KEY + struct.pack("<IQIQ", 1, 33, 2, 0) + bytes(400),
    "cut": FILE[:-40],
}


@pytest.mark.parametrize("content", ENDLESS.values(), ids=ENDLESS)
def test_headers_that_promise_too_much_are_refused_at_once(tmp_path: Path, content: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"model\.gguf: "):
        opened(tmp_path, content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20


def test_a_file_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.gguf"):
        GgufFile.open(tmp_path / "none.gguf")
