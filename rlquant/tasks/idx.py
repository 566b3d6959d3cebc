"""The idx format of MNIST and its successors: a magic number, the sizes, then the bytes."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlquant.errors import DataError
from rlquant.tasks.packed_data import unpacking

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, shape: tuple[int, ...], *, remedy: str) -> NDArray[np.uint8]:
    """Read a gzip-compressed idx file of unsigned bytes.

    Args:
        path: the .gz file.
        shape: the shape that the file must hold.
        remedy: what to do about a bad file; ends every message.

    Returns:
        A read-only array of `shape`.

    Raises:
        DataError: the file cannot be read or decompressed, is not idx, or is of another shape.

    Source: Y. LeCun, "The MNIST database", file formats: two zero bytes, the type of the values,
        the number of dimensions, each size as a big-endian uint32, the values in C order.
    """
    start = 4 + 4 * len(shape)
    with unpacking(path, remedy) as file:
        content = file.read(start + prod(shape) + 1)  # one more shows that it goes on
        if len(content) <= start + prod(shape):
            file.read(1)  # at its end the checksum is compared
    magic = bytes((0, 0, UNSIGNED_BYTE, len(shape)))
    if content[:4] != magic:
        raise DataError(
            f"{path} starts with {content[:4].hex(' ')!r}, not with {magic.hex(' ')!r}, so it is "
            f"not an idx file of unsigned bytes in {len(shape)} dimensions; {remedy}"
        )
    if len(content) < start:
        raise DataError(f"{path} is truncated: it ends within its header; {remedy}")
    found = struct.unpack(f">{len(shape)}I", content[4:start])
    if found != shape:
        raise DataError(f"{path} says that it holds {found} values, expected {shape}; {remedy}")
    found_bytes = len(content) - start
    if found_bytes != prod(shape):
        words = f"more than {prod(shape)}" if found_bytes > prod(shape) else str(found_bytes)
        raise DataError(
            f"{path} holds {words} bytes of values, its header says {prod(shape)}; {remedy}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
