"""The idx format of MNIST and its successors: a magic number, the sizes, then the bytes."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlquant.errors import DataError

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
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except EOFError as error:
        raise DataError(f"{path} is truncated: {error}; {remedy}") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; {remedy}") from error
    magic = bytes((0, 0, UNSIGNED_BYTE, len(shape)))
    if content[:4] != magic:
        raise DataError(
            f"{path} starts with {content[:4].hex(' ')!r}, not with {magic.hex(' ')!r}, so it is "
            f"not an idx file of unsigned bytes in {len(shape)} dimensions; {remedy}"
        )
    start = 4 + 4 * len(shape)
    if len(content) < start:
        raise DataError(f"{path} is truncated: it ends within its header; {remedy}")
    found = struct.unpack(f">{len(shape)}I", content[4:start])
    if found != shape:
        raise DataError(f"{path} says that it holds {found} values, expected {shape}; {remedy}")
    if len(content) - start != prod(shape):
        raise DataError(
            f"{path} holds {len(content) - start} bytes of values, its header promises "
            f"{prod(shape)}; {remedy}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
