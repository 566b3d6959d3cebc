"""Untrusted safetensors files: header within bounds, tensors as expected."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from rlquant.documents.files import read_file
from rlquant.documents.json_text import parse_json
from rlquant.documents.schema import read_as
from rlquant.errors import FileFormatError

MOST_BYTES = 2**31
"""What a file may have whose tensors are not known beforehand."""
MOST_HEADER_BYTES = 2**21
"""Some twenty thousand tensors."""
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class TensorFile:
    """What a safetensors file holds.

    Attributes:
        metadata: texts of its header, by name.
        tensors: on the CPU, by name.
    """

    metadata: Mapping[str, str]
    tensors: dict[str, Tensor]


def read_tensors(path: str | Path, most: int = MOST_BYTES) -> TensorFile:
    """Read a safetensors file.

    Args:
        path: a regular file.
        most: bytes that it may have; memory is taken for twice as many at the most.

    Raises:
        FileFormatError: something else than a file, more bytes, damaged, or of types that PyTorch
            does not have.
        OSError: there is no such file, or it cannot be read.
    """
    return parse_tensors(read_file(path, most))


def parse_tensors(data: bytes) -> TensorFile:
    """Return what the bytes of a safetensors file hold; `FileFormatError` where they are none."""
    metadata = _metadata(data)
    try:
        return TensorFile(metadata, load(data))
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"it is no safetensors file, or a damaged one ({error})") from error


def bytes_of(tensors: Mapping[str, Tensor]) -> int:
    """Return how many bytes a file of such tensors takes at the most."""
    return sum(t.nbytes for t in tensors.values()) + MOST_HEADER_BYTES + _LENGTH.size


def require_like(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise `FileFormatError` unless tensors have the names, shapes and types of others."""
    for name in [*expected, *found]:
        if name not in found or name not in expected:
            there = "is missing" if name in expected else "belongs to nothing"
            raise FileFormatError(f"tensor {name[:80]!r} {there}")
        here, there_ = _described(found[name]), _described(expected[name])
        if here != there_:
            raise FileFormatError(f"tensor {name[:80]!r} is of {here}, not of {there_}")


def require_sound(tensors: Mapping[str, Tensor]) -> None:
    """Raise `FileFormatError` for a number that is not finite, or a truth value that is none."""
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise FileFormatError(f"tensor {name[:80]!r} holds a truth value that is none")
        if not bool(torch.isfinite(tensor).all()):
            raise FileFormatError(f"tensor {name[:80]!r} holds NaN or infinite numbers")


def _metadata(data: bytes) -> Mapping[str, str]:
    """Return the texts of a header, which is checked before anything else reads it."""
    if len(data) < _LENGTH.size:
        raise FileFormatError(f"it has {len(data)} bytes, too few for a safetensors file")
    (length,) = _LENGTH.unpack_from(data)
    if length > min(MOST_HEADER_BYTES, len(data) - _LENGTH.size):
        raise FileFormatError(f"its header says {length:,} bytes: it is no safetensors file")
    try:
        text = data[_LENGTH.size : _LENGTH.size + length].decode()
    except UnicodeDecodeError as error:
        raise FileFormatError("its header is no text: it is no safetensors file") from error
    header = read_as(dict[str, Any], parse_json(text), "its header")
    return read_as(dict[str, str], header.get("__metadata__", {}), "__metadata__")


def _described(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)} and type {tensor.dtype}"
