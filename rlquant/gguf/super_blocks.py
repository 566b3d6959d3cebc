"""Super-blocks of ggml's K types: 256 weights with scales that are multiples of one number.

Source: `ggml-common.h` of llama.cpp. What is given are the products: scales `d * s` and offsets
`-dmin * m`, float32, of each group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlquant.gguf.blocks import Bytes, Codes, Numbers
from rlquant.quantizers.super_blocks import super_block_numbers


def pack_q2_k(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 16 groups of 2-bit codes."""
    (d, steps), (dmin, below) = _multiples(scale, 15), _multiples(_least(offset), 15)
    return _joined(steps | below << 4, _pairs(codes), d, dmin)


def pack_q3_k(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 16 groups of 3-bit codes: the highest bits apart, scales from -32 on."""
    d, steps = _multiples(scale, 31)
    steps = steps + 32
    low = steps[:, :8] & 15 | (steps[:, 8:] & 15) << 4
    high = (steps >> 4).reshape(-1, 4, 4)
    packed = np.concatenate([low, _shifted(high, 2)], axis=1)
    return _joined(_shifted((codes >> 2).reshape(-1, 8, 32), 1), _pairs(codes & 3), packed, d)


def pack_q4_k(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 8 groups of 4-bit codes."""
    return _joined(*_six_bits(scale, offset), _nibbles(codes))


def pack_q5_k(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 8 groups of 5-bit codes: the highest bits apart."""
    highest = _shifted((codes >> 4).reshape(-1, 8, 32), 1)
    return _joined(*_six_bits(scale, offset), highest, _nibbles(codes & 15))


def pack_q6_k(codes: Codes, scale: Numbers, offset: Numbers | None) -> Bytes:
    """Return blocks of 16 groups of 6-bit codes: the highest two bits apart."""
    d, steps = _multiples(scale, 127)
    low = (codes & 15).reshape(-1, 2, 2, 64)
    high = _shifted((codes >> 4).reshape(-1, 2, 4, 32), 2)
    return _joined(low[:, :, 0] | low[:, :, 1] << 4, high, steps, d)


def _six_bits(scale: Numbers, offset: Numbers | None) -> list[npt.NDArray[Any]]:
    """Return d, dmin, and the multiples of 8 groups in 12 bytes."""
    (d, steps), (dmin, below) = _multiples(scale, 63), _multiples(_least(offset), 63)
    first = steps[:, :4] | steps[:, 4:] >> 4 << 6
    second = below[:, :4] | below[:, 4:] >> 4 << 6
    return [d, dmin, first, second, steps[:, 4:] & 15 | (below[:, 4:] & 15) << 4]


def _multiples(numbers: Numbers, top: int) -> tuple[Bytes, npt.NDArray[np.int16]]:
    """Return the bytes of each super-block's number, and what its groups multiply it by."""
    unit, steps = super_block_numbers(torch.from_numpy(np.ascontiguousarray(numbers)), top)
    halves = unit.numpy()[:, None].astype("<f2").view(np.uint8)
    return halves, steps.numpy().astype(np.int16)


def _least(offset: Numbers | None) -> Numbers:
    assert offset is not None
    return -offset


def _nibbles(codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return 4-bit codes, groups of 32 in pairs: the first below, the second above."""
    pairs = codes.reshape(-1, 4, 2, 32)
    together: npt.NDArray[Any] = pairs[:, :, 0] | pairs[:, :, 1] << 4
    return together


def _pairs(codes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return 2-bit codes, four times 32 of them to 32 bytes."""
    return _shifted(codes.reshape(-1, 2, 4, 32), 2)


def _shifted(parts: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Return parts of bytes put together along the axis before the last, so many bits each."""
    shifts = bits * np.arange(parts.shape[-2], dtype=np.uint8)
    together: npt.NDArray[Any] = np.bitwise_or.reduce(parts << shifts[:, None], axis=-2)
    return together


def _joined(*parts: npt.NDArray[Any]) -> Bytes:
    """Return the parts of blocks behind each other."""
    return np.concatenate([p.reshape(len(p), -1).astype(np.uint8) for p in parts], axis=1)
