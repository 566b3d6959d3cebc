"""Codes to bits and back, in planar blocks, so that every step is one operation on a long array.

`bits`-wide codes: n codes, filled up with zeros, are eight blocks of n/8. The j-th codes of the
blocks, the first one lowest, make a word of `bits` bytes; all first bytes of the words are stored,
then all second ones, and so on. Ternary codes: five blocks, and the j-th codes make a byte in base
3, the first one lowest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant.errors import FileFormatError, SettingsError
from rlquant.quantizers.tensor import TERNARY_CODES_PER_BYTE

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

CODES_PER_WORD = 8


def pack_codes(codes: Codes, bits: int, *, out: Bytes | None = None) -> Bytes:
    """Pack codes, each in `[0, 2**bits)`, into `bits` bytes for every eight.

    Args:
        codes: shape `(n,)`, uint8 up to 8 bits, uint16 above.
        bits: 1..16.
        out: where the bytes go, shape `(ceil(n / 8) * bits,)`; None for a new array.

    Returns:
        Shape `(ceil(n / 8) * bits,)`.

    Raises:
        SettingsError: `out` is not of that shape, or not contiguous bytes.
    """
    blocks = _blocks(codes, CODES_PER_WORD)
    packed: Bytes = _target(out, blocks[0].size * bits, np.uint8)
    packed[...] = 0
    planes = packed.reshape(bits, -1)
    part = np.empty_like(blocks[0])
    for plane, number, shift in _overlaps(bits):
        block = blocks[number]
        shifted = _shift(block, shift, part[: block.size])
        byte = shifted.astype(np.uint8, copy=False)  # the one that lies in this plane
        planes[plane, : block.size] |= byte
    return packed


def unpack_codes(packed: Bytes, bits: int, count: int, *, out: Codes | None = None) -> Codes:
    """Undo `pack_codes`: shape `(count,)`, uint8 up to 8 bits, uint16 above.

    Raises:
        SettingsError: `out` is not of that shape and type, or not contiguous.
    """
    codes: Codes = _target(out, count, np.uint8 if bits <= 8 else np.uint16)
    codes[...] = 0
    blocks, planes = _blocks(codes, CODES_PER_WORD), packed.reshape(bits, -1)
    part = np.empty_like(blocks[0])
    for plane, number, shift in _overlaps(bits):
        block = blocks[number]
        byte = planes[plane, : block.size].astype(codes.dtype, copy=False)
        block |= _shift(byte, -shift, part[: block.size])
    codes &= codes.dtype.type(2**bits - 1)
    return codes


def pack_ternary(codes: Bytes, *, out: Bytes | None = None) -> Bytes:
    """Pack codes 0, 1, 2, five to a byte: shape `(n,)` to `(ceil(n / 5),)`.

    Raises:
        SettingsError: `out` is not of that shape, or not contiguous bytes.
    """
    blocks = _blocks(codes, TERNARY_CODES_PER_BYTE)
    packed: Bytes = _target(out, blocks[0].size, np.uint8)
    packed[...] = 0
    for block in reversed(blocks):
        packed *= 3
        packed[: block.size] += block
    return packed


def unpack_ternary(packed: Bytes, count: int, *, out: Bytes | None = None) -> Bytes:
    """Undo `pack_ternary`: shape `(count,)`.

    Raises:
        FileFormatError: a byte that no five codes make.
        SettingsError: `out` is not of that shape, or not contiguous bytes.
    """
    if packed.size and packed.max() >= 3**TERNARY_CODES_PER_BYTE:
        raise FileFormatError(f"ternary codes hold the byte {packed.max()}; at most 242 is legal")
    codes: Bytes = _target(out, count, np.uint8)
    blocks = _blocks(codes, TERNARY_CODES_PER_BYTE)
    rest = packed
    for block in blocks:
        third = rest // 3
        np.subtract(rest[: block.size], third[: block.size] * 3, out=block)
        rest = third
    return codes


def _target(out: Any, size: int, dtype: type[np.uint8] | type[np.uint16]) -> Any:
    """Return `out`, or a new array where it is None."""
    if out is None:
        return np.empty(size, dtype)
    if out.shape != (size,) or out.dtype != dtype or not out.flags.c_contiguous:
        raise SettingsError(
            f"out has shape {out.shape}, type {out.dtype} and strides {out.strides}; "
            f"give a contiguous array of {size} {dtype.__name__}"
        )
    return out


def _blocks(codes: Any, count: int) -> list[Any]:
    """Return `count` views of equal length, the last ones shorter where codes are missing."""
    length = -(-codes.size // count)
    return [codes[i * length : (i + 1) * length] for i in range(count)]


def _overlaps(bits: int) -> Iterator[tuple[int, int, int]]:
    """Yield (byte plane, block, shift to the left that brings the block's code into the plane)."""
    for block in range(CODES_PER_WORD):
        first = block * bits
        for plane in range(first // 8, (first + bits - 1) // 8 + 1):
            yield plane, block, first - 8 * plane


def _shift(source: Any, left: int, out: Any) -> Any:
    """Return `source` shifted to the left (right where negative): written to `out`, if it moves."""
    if left == 0:
        return source
    if left > 0:  # NumPy multiplies bytes several times faster than it shifts them to the left
        return np.multiply(source, source.dtype.type(2**left), out=out)
    return np.right_shift(source, source.dtype.type(-left), out=out)
