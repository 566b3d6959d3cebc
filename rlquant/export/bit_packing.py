"""Codes to bits and back, in planar blocks, so that every step is one operation on a long array.

`bits`-wide codes: n codes, filled up with zeros, are eight blocks of n/8. The j-th codes of the
blocks, the first one lowest, make a word of `bits` bytes; all first bytes of the words are stored,
then all second ones, and so on. Ternary codes: five blocks, and the j-th codes make a byte in base
3, the first one lowest.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rlquant.errors import FileFormatError
from rlquant.quantizers.tensor import TERNARY_CODES_PER_BYTE

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def pack_codes(codes: Codes, bits: int) -> Bytes:
    """Pack codes, each in `[0, 2**bits)`, into `bits` bytes for every eight.

    Args:
        codes: shape `(n,)`, uint8 up to 8 bits, uint16 above.
        bits: 1..16.

    Returns:
        Shape `(ceil(n / 8) * bits,)`.
    """
    blocks = _blocks(codes, 8)
    planes = np.zeros((bits, blocks.shape[1]), np.uint8)
    part = np.empty_like(blocks[0])
    for plane, block, shift in _overlaps(bits):
        _shift(blocks[block], shift, part)
        planes[plane] |= part.astype(np.uint8, copy=False)  # the byte that lies in this plane
    return planes.reshape(-1)


def unpack_codes(packed: Bytes, bits: int, count: int) -> Codes:
    """Undo `pack_codes`: shape `(count,)`, uint8 up to 8 bits, uint16 above."""
    planes = packed.reshape(bits, -1)
    shape = (8, planes.shape[1])
    blocks: Codes = np.zeros(shape, np.uint8) if bits <= 8 else np.zeros(shape, np.uint16)
    part = np.empty_like(blocks[0])
    for plane, block, shift in _overlaps(bits):
        _shift(planes[plane].astype(part.dtype, copy=False), -shift, part)
        blocks[block] |= part
    blocks &= blocks.dtype.type(2**bits - 1)
    return blocks.reshape(-1)[:count]


def pack_ternary(codes: Bytes) -> Bytes:
    """Pack codes 0, 1, 2, five to a byte: shape `(n,)` to `(ceil(n / 5),)`."""
    blocks = _blocks(codes, TERNARY_CODES_PER_BYTE)
    packed: Bytes = blocks[-1].astype(np.uint8)
    for block in blocks[-2::-1]:
        packed *= 3
        packed += block
    return packed


def unpack_ternary(packed: Bytes, count: int) -> Bytes:
    """Undo `pack_ternary`: shape `(count,)`.

    Raises:
        FileFormatError: a byte that no five codes make.
    """
    if packed.size and packed.max() >= 3**TERNARY_CODES_PER_BYTE:
        raise FileFormatError(f"ternary codes hold the byte {packed.max()}; at most 242 is legal")
    blocks = np.empty((TERNARY_CODES_PER_BYTE, packed.size), np.uint8)
    rest = packed
    for block in blocks[:-1]:
        third = rest // 3
        np.subtract(rest, third * 3, out=block)
        rest = third
    blocks[-1] = rest
    return blocks.reshape(-1)[:count]


def _blocks(codes: Codes, count: int) -> Codes:
    """Return the codes as `count` rows of equal length, filled up with zeros."""
    missing = -codes.size % count
    filled = np.concatenate([codes, np.zeros(missing, codes.dtype)]) if missing else codes
    return filled.reshape(count, -1)


def _overlaps(bits: int) -> Iterator[tuple[int, int, int]]:
    """Yield (byte plane, block, shift to the left that brings the block's code into the plane)."""
    for block in range(8):
        first = block * bits
        for plane in range(first // 8, (first + bits - 1) // 8 + 1):
            yield plane, block, first - 8 * plane


def _shift(source: Codes, left: int, out: Codes) -> None:
    """Write `source` shifted to the left (right where negative) to `out`."""
    if left >= 0:
        np.left_shift(source, source.dtype.type(left), out=out)
    else:
        np.right_shift(source, source.dtype.type(-left), out=out)
