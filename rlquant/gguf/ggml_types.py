"""The types of ggml that weights may have in a GGUF file, and which choice each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlquant.config import LayerChoice, Points
from rlquant.gguf.blocks import (
    Bytes,
    Codes,
    Halves,
    pack_bytes,
    pack_fives,
    pack_nibbles,
    pack_pairs,
)
from rlquant.quantizers import QuantizedTensor

Pack = Callable[[Codes, Halves, Halves | None], Bytes]
"""Codes `(blocks, size)`, scales and offsets `(blocks,)` in, bytes `(blocks, block_bytes)` out."""


@dataclass(frozen=True, slots=True)
class GgmlType:
    """A type of weights in a GGUF file.

    Attributes:
        name: as ggml writes it.
        number: in files.
        block: consecutive weights of a row that are stored together.
        block_bytes: bytes of a block.
        bits: of the choice that it is; 0 for types of float numbers.
        points: of the choices that it holds, each in groups of `block` weights.
        pack: writes the blocks of such a choice.
    """

    name: str
    number: int
    block: int
    block_bytes: int
    bits: int = 0
    points: tuple[Points, ...] = ()
    pack: Pack | None = None

    def bytes_of(self, weights: int) -> int:
        """Return the bytes of so many weights, in whole blocks."""
        return weights // self.block * self.block_bytes

    def encode(self, quantized: QuantizedTensor) -> Bytes:
        """Return the bytes of a quantized weight of two axes, shape `(rows, bytes of a row)`.

        The choice is one that the type is, and its scales are float16.
        """
        assert self.pack is not None
        assert quantized.scale is not None
        codes = quantized.codes.cpu().reshape(-1, self.block).numpy()
        offset = None if quantized.offset is None else _halves(quantized.offset)
        packed = self.pack(codes, _halves(quantized.scale), offset)
        return packed.reshape(len(quantized.codes), -1)


def _halves(numbers: Tensor) -> Halves:
    assert numbers.dtype == torch.float16
    halves: Halves = numbers.cpu().numpy()
    return halves


INTEGERS: tuple[Points, ...] = ("clipped", "symmetric")
STEPS: tuple[Points, ...] = ("affine_step",)

TYPES: Mapping[str, GgmlType] = {
    each.name: each
    for each in (
        GgmlType("F32", 0, 1, 4),
        GgmlType("F16", 1, 1, 2),
        GgmlType("BF16", 30, 1, 2),
        GgmlType("Q2_0", 42, 64, 18, 2, INTEGERS, pack_pairs),
        GgmlType("Q4_0", 2, 32, 18, 4, INTEGERS, pack_nibbles),
        GgmlType("Q4_1", 3, 32, 20, 4, STEPS, pack_nibbles),
        GgmlType("Q5_0", 6, 32, 22, 5, INTEGERS, pack_fives),
        GgmlType("Q5_1", 7, 32, 24, 5, STEPS, pack_fives),
        GgmlType("Q8_0", 8, 32, 34, 8, INTEGERS, pack_bytes),
    )
}
"""By name. Q2_0 is read by llama.cpp from July 2026 on."""
QUANTIZED = tuple(each.name for each in TYPES.values() if each.pack is not None)
_HOLDING = tuple(each for each in TYPES.values() if each.pack is not None)
EXACT = ("BF16", "F16", "F32")
"""Types of float numbers, the smallest first."""


def type_of(choice: LayerChoice) -> GgmlType | None:
    """Return the type that a quantized layer's weight has, None where no type holds its choice."""
    if choice.method not in ("post_training", "distilled") or choice.activation_bits is not None:
        return None
    fitting = (
        each
        for each in TYPES.values()
        if (each.bits, each.block) == (choice.bits, choice.group_size)
        and choice.points in each.points
    )
    return next(fitting, None)


def refusal(choice: LayerChoice, shape: Sequence[int]) -> str | None:
    """Return why no type holds a quantized weight, None where one does.

    Args:
        choice: of the layer.
        shape: of the weight.
    """
    own = type_of(choice)
    if own is None:
        known = (f"{t.bits} bits in groups of {t.block} ({', '.join(t.points)})" for t in _HOLDING)
        return f"no type of ggml is {choice}; use one of: {'; '.join(known)}"
    if len(shape) != 2:
        return f"its weight has {len(shape)} axes, ggml's types have 2"
    if shape[1] % own.block:
        return f"its rows of {shape[1]} weights are no whole blocks of {own.name} ({own.block})"
    return None


def float_type(weight: Tensor) -> GgmlType:
    """Return the smallest type that holds a float weight exactly; vectors are F32, as ggml wants.

    Args:
        weight: float32, float16 or bfloat16.
    """
    wide = weight.detach().float()
    if weight.dim() < 2:
        return TYPES["F32"]
    if torch.equal(wide.bfloat16().float(), wide):
        return TYPES["BF16"]
    return TYPES["F16" if torch.equal(wide.half().float(), wide) else "F32"]


def encode_floats(weight: Tensor, own: GgmlType) -> Bytes:
    """Return the bytes of a float weight that `own` holds exactly, row by row."""
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[own.name]
    stored = weight.detach().to(dtype).cpu().contiguous()
    raw: Bytes = stored.view(torch.uint8).numpy()
    return np.ascontiguousarray(raw)
