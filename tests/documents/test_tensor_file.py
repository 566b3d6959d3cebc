"""Tensors from outside: the header is checked before memory is taken, and so is every tensor."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from rlquant.documents.tensor_file import (
    bytes_of,
    parse_tensors,
    read_tensors,
    require_like,
    require_sound,
)
from rlquant.errors import FileFormatError
from strategies import damage

TENSORS = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3), "b": torch.tensor([True])}
DATA = save(TENSORS, metadata={"key": "k"})


def with_header(header: Any, body: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_tensors_and_texts_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(DATA)
    found = read_tensors(path, bytes_of(TENSORS))
    assert found.metadata == {"key": "k"}
    require_like(found.tensors, TENSORS)
    require_sound(found.tensors)
    assert torch.equal(found.tensors["w"], TENSORS["w"])
    with pytest.raises(FileFormatError, match="at most 9"):
        read_tensors(path, 9)


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it has 0 bytes, too few"),
        (struct.pack("<Q", 2**60) + b"{}", "no safetensors file"),
        (with_header(b"\xff\xff"), "its header is no text"),
        (with_header(b"[" * 100_000), "more than 32 deep"),
        (with_header([]), "its header is"),
        (with_header({"__metadata__": {"key": 3}}), "__metadata__.key is 3, use text"),
        (with_header(b'{"a": 1, "a": 2}'), "key 'a' stands there twice"),
        (with_header({"a": 5}), "damaged"),
        (with_header({"a": ONE | {"dtype": "F4"}}), "damaged"),
        (with_header({"a": ONE | {"shape": [2**40]}}), "damaged"),
        (with_header({"a": ONE | {"shape": [-2]}}), "damaged"),
        (with_header({"a": ONE}, b""), "damaged"),
    ],
)
def test_damaged_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        parse_tensors(data)


@given(data=st.data())
def test_any_damage_is_refused_or_leaves_tensors(data: st.DataObject) -> None:
    with contextlib.suppress(FileFormatError):
        found = parse_tensors(data.draw(damage(DATA)))
        require_like(found.tensors, TENSORS)
        require_sound(found.tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": torch.zeros(3, 2)}, r"'w' is of shape \(3, 2\) and type torch.float32, not of"),
        ({"w": torch.zeros(2, 3).double()}, "type torch.float64, not of"),
        ({"x" * 9999: torch.zeros(1)}, "'x+' belongs to nothing"),
    ],
)
def test_tensors_of_another_kind_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        require_like(TENSORS | change, TENSORS)
    with pytest.raises(FileFormatError, match="tensor 'w' is missing"):
        require_like({}, TENSORS)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.tensor([1.0, torch.inf]), "'w' holds NaN or infinite numbers"),
        (torch.tensor(torch.nan), "'w' holds NaN or infinite numbers"),
        (torch.tensor([7], dtype=torch.uint8).view(torch.bool), "'w' holds a truth value"),
    ],
)
def test_numbers_that_nobody_can_compute_with_are_refused(
    tensor: torch.Tensor, message: str
) -> None:
    with pytest.raises(FileFormatError, match=message):
        require_sound({"w": tensor})
