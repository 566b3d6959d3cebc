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
