"""GGUF files: metadata and tensors, read within bounds and written to the byte.

    magic, version, number of tensors, number of metadata
    metadata   of each its key and value
    tensors    of each its name, shape (innermost axis first), type, and where its data begin
    data       each tensor at a multiple of the alignment

Source: `gguf.md` in the documentation of ggml, version 3 of the format.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rlquant.errors import FileFormatError
from rlquant.files import reading
from rlquant.gguf.blocks import Bytes
from rlquant.gguf.values import Cursor, decode, encode_string

MAGIC, VERSION = b"GGUF", 3
READ_VERSIONS = (2, 3)
HEAD = struct.Struct("<4sIQQ")
ALIGNMENT = 32
MOST_ENTRIES = 2**16
"""Metadata, and tensors, that a file may have."""
MOST_AXES = 4
MOST_NAME = 255


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What the header says of a tensor.

    Attributes:
        name: in the file.
        shape: outermost axis first, as in PyTorch.
        type_number: of its type.
    """

    name: str
    shape: tuple[int, ...]
    type_number: int

    def encode(self, offset: int) -> bytes:
        """Return the tensor's entry in the header."""
        axes = struct.pack(f"<I{len(self.shape)}Q", len(self.shape), *reversed(self.shape))
        return encode_string(self.name) + axes + struct.pack("<IQ", self.type_number, offset)


@dataclass(frozen=True, slots=True, eq=False)
class GgufFile:
    """A GGUF file whose header has been checked; data are read when they are asked for.

    Attributes:
        path: of the file.
        metadata: values by key, encoded.
        tensors: by name.
        offsets: where their data begin in the file, by name.
    """

    path: Path
    metadata: Mapping[str, bytes]
    tensors: Mapping[str, TensorInfo]
    offsets: Mapping[str, int]

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Read the header of a file.

        Raises:
            StorageError: there is no such file, or it cannot be read.
            FileFormatError: it is no GGUF file, or a damaged one.
        """
        with reading(path), path.open("rb") as file:
            try:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise FileFormatError("it is empty") from None
            with mapped, memoryview(mapped) as data:
                return _read(path, data)

    def value(self, key: str) -> Any:
        """Return a value of the metadata; `FileFormatError` where there is none."""
        if key not in self.metadata:
            raise FileFormatError(f"{self.path} has no metadata {key!r}")
        return decode(self.metadata[key])

    def floats(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the values of a tensor, float32, in its shape; needs the package gguf."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        info = self.tensors[name]
        raw = self.raw(name).reshape(*info.shape[:-1], -1)
        try:
            found = dequantize(raw, GGMLQuantizationType(info.type_number))
        except (NotImplementedError, ValueError) as error:
            raise FileFormatError(f"{self.path}: tensor {name!r}: {error}") from error
        return found.astype(np.float32).reshape(info.shape)

    def raw(self, name: str) -> Bytes:
        """Return the bytes of a tensor, mapped from the file."""
        size = tensor_bytes(self.tensors[name])
        with reading(self.path):
            return np.memmap(self.path, np.uint8, "r", self.offsets[name], (size,))


def tensor_bytes(info: TensorInfo) -> int:
    """Return the bytes of a tensor's data; `FileFormatError` for a type that is not known."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    known = {int(kind) for kind in GGMLQuantizationType} & sizes.keys()
    if info.type_number not in known:
        raise FileFormatError(f"tensor {info.name!r} is of the unknown type {info.type_number}")
    block, size = sizes[info.type_number]
    if info.shape[-1] % block:
        raise FileFormatError(f"tensor {info.name!r} has rows of {info.shape[-1]}, not {block}s")
    return prod(info.shape) // block * size


def _read(path: Path, data: memoryview) -> GgufFile:
    cursor = Cursor(data)
    magic, version, tensors, entries = HEAD.unpack(cursor.take(HEAD.size))
    if magic != MAGIC or version not in READ_VERSIONS:
        raise FileFormatError("it is no GGUF file of version 2 or 3 (little-endian)")
    if max(tensors, entries) > MOST_ENTRIES:
        raise FileFormatError(f"it names {tensors:,} tensors and {entries:,} metadata")
    metadata: dict[str, bytes] = {}
    for _ in range(entries):
        key = cursor.string()
        if key in metadata:
            raise FileFormatError(f"it has the metadata {key[:MOST_NAME]!r} twice")
        metadata[key] = cursor.value()
    alignment = _alignment(metadata)
    found = [_read_tensor(cursor) for _ in range(tensors)]
    start = padded(cursor.position, alignment)
    infos = {info.name: info for info, _ in found}
    if len(infos) != len(found):
        raise FileFormatError("it names a tensor twice")
    for info, offset in found:
        if offset % alignment or start + offset + tensor_bytes(info) > len(data):
            raise FileFormatError(f"tensor {info.name!r} lies outside of it: it is not whole")
    return GgufFile(path, metadata, infos, {info.name: start + at for info, at in found})


def _read_tensor(cursor: Cursor) -> tuple[TensorInfo, int]:
    name, axes = cursor.string(), cursor.number("<I")
    if not 0 < axes <= MOST_AXES or len(name) > MOST_NAME:
        raise FileFormatError(f"tensor {name[:MOST_NAME]!r} has {axes} axes")
    shape = tuple(cursor.number() for _ in range(axes))
    if 0 in shape or prod(shape) >= 2**63:
        raise FileFormatError(f"tensor {name!r} is of shape {shape[::-1]}")
    return TensorInfo(name, shape[::-1], cursor.number("<I")), cursor.number()


def _alignment(metadata: Mapping[str, bytes]) -> int:
    found = decode(metadata["general.alignment"]) if "general.alignment" in metadata else ALIGNMENT
    if not isinstance(found, int) or found not in (2**k for k in range(3, 21)):
        raise FileFormatError(f"its alignment is {str(found)[:40]}, not a power of 2 of 8 to 2^20")
    return found


def padded(size: int, alignment: int = ALIGNMENT) -> int:
    """Return the next multiple of the alignment."""
    return -(-size // alignment) * alignment


def header_bytes(metadata: Mapping[str, bytes], infos: Iterable[TensorInfo]) -> int:
    """Return the bytes of a file before its data, whatever the types of its tensors."""
    entries = sum(len(encode_string(key)) + len(value) for key, value in metadata.items())
    return padded(HEAD.size + entries + sum(len(info.encode(0)) for info in infos))


def encode_header(
    metadata: Mapping[str, bytes], tensors: Iterable[tuple[TensorInfo, int]]
) -> bytes:
    """Return all of a file before its data, padded.

    Args:
        metadata: values by key, encoded.
        tensors: in the order of the data, each with the bytes of its own.
    """
    entries, offset, count = [], 0, 0
    for info, size in tensors:
        entries.append(info.encode(offset))
        offset, count = offset + padded(size), count + 1
    head = HEAD.pack(MAGIC, VERSION, count, len(metadata))
    pairs = (encode_string(key) + value for key, value in metadata.items())
    header = b"".join((head, *pairs, *entries))
    return header + bytes(padded(len(header)) - len(header))
