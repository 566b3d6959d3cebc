"""The types of ggml that weights may have in a GGUF file, and which choice each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlquant.config import LayerChoice, Points
from rlquant.errors import unknown_name
from rlquant.gguf.blocks import (
    Bytes,
    Codes,
    Numbers,
    pack_bytes,
    pack_fives,
    pack_nibbles,
    pack_pairs,
    pack_powers,
    pack_trits,
    pack_two_bits,
)
from rlquant.gguf.super_blocks import pack_q2_k, pack_q3_k, pack_q4_k, pack_q5_k, pack_q6_k
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.formats import FORMATS

Pack = Callable[[Codes, Numbers, Numbers | None], Bytes]
"""Codes `(blocks, size)` and scales and offsets `(blocks, groups)` in, bytes out."""


@dataclass(frozen=True, slots=True)
class GgmlType:
    """A type of weights in a GGUF file.

    Attributes:
        name: as ggml writes it.
        number: in files.
        block: consecutive weights of a row that are stored together.
        block_bytes: bytes of a block.
        bits: of the choice that it is; 0 for types of float numbers.
        points: of the choices that it holds.
        group: weights that share a scale.
        pack: writes the blocks of such a choice.
    """

    name: str
    number: int
    block: int
    block_bytes: int
    bits: int = 0
    points: tuple[Points, ...] = ()
    group: int = 0
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
        scale, offset = (
            None if numbers is None else numbers.cpu().reshape(len(codes), -1).numpy()
            for numbers in (quantized.scale, quantized.offset)
        )
        assert scale is not None
        return self.pack(codes, scale, offset).reshape(len(quantized.codes), -1)

    @property
    def number_dtype(self) -> torch.dtype:
        """The type in which scales of a choice must come."""
        restricted = any(FORMATS[points].restricted_scales for points in self.points)
        return torch.float32 if restricted else torch.float16


INTEGERS: tuple[Points, ...] = ("signed_scale", "clipped", "symmetric")
STEPS: tuple[Points, ...] = ("affine_step",)
K_AFFINE: tuple[Points, ...] = ("k_affine",)
K_SYMMETRIC: tuple[Points, ...] = ("k_symmetric",)
TERNARY: tuple[Points, ...] = ("tied_ternary",)

TYPES: Mapping[str, GgmlType] = {
    each.name: each
    for each in (
        GgmlType("F32", 0, 1, 4),
        GgmlType("F16", 1, 1, 2),
        GgmlType("BF16", 30, 1, 2),
        GgmlType("Q2_0", 42, 64, 18, 2, INTEGERS, 64, pack_pairs),
        GgmlType("Q4_0", 2, 32, 18, 4, INTEGERS, 32, pack_nibbles),
        GgmlType("Q4_1", 3, 32, 20, 4, STEPS, 32, pack_nibbles),
        GgmlType("Q5_0", 6, 32, 22, 5, INTEGERS, 32, pack_fives),
        GgmlType("Q5_1", 7, 32, 24, 5, STEPS, 32, pack_fives),
        GgmlType("Q8_0", 8, 32, 34, 8, INTEGERS, 32, pack_bytes),
        GgmlType("IQ4_NL", 20, 32, 18, 4, ("iq4_nl",), 32, pack_nibbles),
        GgmlType("MXFP4", 39, 32, 17, 4, ("mxfp4",), 32, pack_powers),
        GgmlType("TQ1_0", 34, 256, 54, 2, TERNARY, 256, pack_trits),
        GgmlType("TQ2_0", 35, 256, 66, 2, TERNARY, 256, pack_two_bits),
        GgmlType("Q2_K", 10, 256, 84, 2, K_AFFINE, 16, pack_q2_k),
        GgmlType("Q3_K", 11, 256, 110, 3, K_SYMMETRIC, 16, pack_q3_k),
        GgmlType("Q4_K", 12, 256, 144, 4, K_AFFINE, 32, pack_q4_k),
        GgmlType("Q5_K", 13, 256, 176, 5, K_AFFINE, 32, pack_q5_k),
        GgmlType("Q6_K", 14, 256, 210, 6, K_SYMMETRIC, 16, pack_q6_k),
    )
}
"""By name. Q2_0 is read by llama.cpp from July 2026 on. TQ2_0 has the weights of TQ1_0 in more
bytes, which are faster to read."""
QUANTIZED = tuple(each.name for each in TYPES.values() if each.pack is not None)
EXACT = ("BF16", "F16", "F32")
"""Types of float numbers, the smallest first."""


def type_of(choice: LayerChoice, types: Sequence[str] = QUANTIZED) -> GgmlType | None:
    """Return the first type that holds a quantized layer's choice, None where none does.

    Args:
        choice: of the layer.
        types: names of those that there are.
    """
    if choice.method not in ("post_training", "distilled") or choice.activation_bits is not None:
        return None
    fitting = (
        each
        for each in map(TYPES.__getitem__, types)
        if (each.bits, each.group) == (choice.bits, choice.group_size)
        and choice.points in each.points
    )
    return next(fitting, None)


def require_types(types: Sequence[str]) -> tuple[str, ...]:
    """Return names of types; `UnknownNameError` for one that holds no quantized weights."""
    for name in types:
        if name not in QUANTIZED:
            raise unknown_name("type of ggml", name, QUANTIZED)
    return tuple(types)


def refusal(
    choice: LayerChoice, shape: Sequence[int], types: Sequence[str] = QUANTIZED
) -> str | None:
    """Return why no type holds a quantized weight, None where one does.

    Args:
        choice: of the layer.
        shape: of the weight.
        types: names of those that there are.
    """
    own = type_of(choice, types)
    other = type_of(choice)
    if own is None and other is not None:
        return f"{other.name} is not among the types {tuple(types)}"
    if own is None:
        holding = map(TYPES.__getitem__, types)
        known = (f"{t.bits} bits in groups of {t.group} ({', '.join(t.points)})" for t in holding)
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
