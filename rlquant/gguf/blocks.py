"""Blocks of ggml's types: codes, scales and offsets as the bytes of a GGUF file.

Source: `ggml-common.h` of llama.cpp. Values are `(code - half) * scale`, or `code * scale + offset`
where blocks have an offset.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]
"""Scales or offsets, shape `(blocks, groups of a block)`."""
Bytes = npt.NDArray[np.uint8]


def pack_nibbles(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 4-bit codes: the first half of a block below, the second above."""
    return _behind(scale, offset, _halves_together(codes))


def pack_fives(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 32 5-bit codes: their highest bits in front, then the rest as nibbles."""
    highest = np.packbits(codes >> 4, axis=1, bitorder="little")
    return _behind(scale, offset, highest, _halves_together(codes & 15))


def pack_bytes(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 8-bit codes, as signed integers."""
    return _behind(scale, offset, codes ^ 128)


def pack_pairs(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 2-bit codes, four to a byte.

    ggml's integers are -1..2 where those here are -2..1: both change their sign, with the scale.
    """
    fours = (3 - codes).reshape(len(codes), -1, 4)
    first, second, third, fourth = (fours[:, :, i] << 2 * i for i in range(4))
    return _behind(-scale, offset, first | second | third | fourth)


def pack_powers(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of MXFP4: the exponent of the scale in a byte, then codes by sign as nibbles.

    Its codes are 0..7 for 0 and the values above, 8..15 for -0 and those below.
    """
    exponents = np.frexp(scale)[1] + 127
    signed = codes.astype(np.int16) - 7
    by_sign = np.where(signed < 0, 8 - signed, signed).astype(np.uint8)
    return np.concatenate([exponents.astype(np.uint8), _halves_together(by_sign)], axis=1)


def pack_two_bits(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of TQ2_0: three values in two bits, four times 32 to 32 bytes; scale behind."""
    fours = codes.reshape(len(codes), -1, 4, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    packed = np.bitwise_or.reduce(fours << shifts, axis=2).reshape(len(codes), -1)
    return np.concatenate([packed, scale.astype("<f2").view(np.uint8)], axis=1)


def pack_trits(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of TQ1_0: five of three values in a byte, of the last 16 four; scale behind.

    A byte is the fraction of which the digits to base 3 are the values, rounded up.
    """
    parts = []
    for start, stop, digits in ((0, 160, 5), (160, 240, 5), (240, 256, 4)):
        worth = np.array([81, 27, 9, 3, 1], np.uint16)[:digits, None]
        values = codes[:, start:stop].reshape(len(codes), digits, -1)
        parts.append((values * worth).sum(axis=1, dtype=np.uint16))
    fractions = (np.concatenate(parts, axis=1) * 256 + 242) // 243
    return np.concatenate([fractions.astype(np.uint8), scale.astype("<f2").view(np.uint8)], axis=1)


def _halves_together(codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    low, high = np.split(codes, 2, axis=1)
    together: npt.NDArray[Any] = low | high << 4
    return together


def _behind(scale: Numbers, offset: Numbers | None, *packed: npt.NDArray[Any]) -> Bytes:
    """Return packed codes behind the numbers of their blocks."""
    numbers = [scale] if offset is None else [scale, offset]
    front = [each.astype("<f2").view(np.uint8) for each in numbers]
    parts = [*front, *(each.astype(np.uint8) for each in packed)]
    return np.concatenate(parts, axis=1)
