"""What compressed-tensors' format `pack-quantized` can hold of a layer, and in how many bytes.

A weight of two axes, rows by outputs, is stored as four tensors beside the module's name:

    weight_packed      int32 (rows, words): the codes of each row, bit after bit
    weight_scale       (rows, groups)
    weight_shape       int64 (2,)
    weight_zero_point  int32 (words, groups), where there are zero points: packed along the rows

compressed-tensors computes `(code - zero point) * scale` in the type of the scale. transformers
casts scales to the type of the network when it loads them, so that 16 bits are enough for values
computed in float32. It does not where it dequantizes while it loads, which is the only way that
transformers 5.24 has for zero points beside compressed-tensors 0.18 to 0.20 (it expects them not
packed): with zero points scales are stored in 32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.config import LayerChoice, Points
from rlquant.quantizers import QuantizedTensor

FORMAT = "pack-quantized"
LINEAR = "linear"
SYMMETRIC: tuple[Points, ...] = ("clipped", "symmetric")
ASYMMETRIC: tuple[Points, ...] = ("zero_point",)
BITS = (2, 3, 4, 5, 6, 7, 8)
WORD = 32
ROWS_AT_ONCE = 2**22
"""Codes that are packed at a time: each takes eight bytes meanwhile."""


@dataclass(frozen=True, slots=True, order=True)
class Scheme:
    """How one layer's weight is stored.

    Attributes:
        bits: of a code.
        zero_points: whether groups have them.
        group: weights that share a scale; 0 for those of a row.
    """

    bits: int
    zero_points: bool
    group: int

    @classmethod
    def of(cls, choice: LayerChoice) -> Scheme:
        """Return the scheme of a choice that is none of the refused ones."""
        group = choice.group_size if isinstance(choice.group_size, int) else 0
        return cls(choice.bits, choice.points in ASYMMETRIC, group)

    @property
    def label(self) -> str:
        """The scheme in words, e.g. "W4A16 g32"."""
        group = f"g{self.group}" if self.group else "channel"
        return f"W{self.bits}A16 {group}{' asymmetric' if self.zero_points else ''}"

    def document(self) -> dict[str, Any]:
        """Return it as `weights` of a group in config.json."""
        return {
            "num_bits": self.bits,
            "type": "int",
            "symmetric": not self.zero_points,
            "strategy": "group" if self.group else "channel",
            "group_size": self.group or None,
            "dynamic": False,
        }

    def groups(self, columns: int) -> int:
        """Return how many groups a row of so many weights has."""
        return columns // self.group if self.group else 1

    def bytes_of(self, rows: int, columns: int, scale_dtype: torch.dtype) -> int:
        """Return the bytes of a weight's tensors."""
        groups = self.groups(columns)
        codes = rows * words(columns, self.bits) * 4
        zero_points = words(rows, self.bits) * groups * 4 if self.zero_points else 0
        return codes + rows * groups * self.stored(scale_dtype).itemsize + 16 + zero_points

    def stored(self, scale_dtype: torch.dtype) -> torch.dtype:
        """Return the type of scales in the file."""
        return torch.float32 if self.zero_points else scale_dtype

    def tensors(self, quantized: QuantizedTensor) -> dict[str, Tensor]:
        """Return a weight's tensors by the ends of their names."""
        assert quantized.scale is not None
        rows, columns = quantized.codes.shape
        scale = quantized.scale.cpu().reshape(rows, -1)
        found = {
            "weight_packed": torch.from_numpy(packed(quantized.codes.cpu().numpy(), self.bits)),
            "weight_scale": scale.to(self.stored(scale.dtype)),
            "weight_shape": torch.tensor([rows, columns]),
        }
        if quantized.zero_point is not None:
            zeros = quantized.zero_point.cpu().reshape(rows, -1).to(torch.uint8).numpy()
            found["weight_zero_point"] = torch.from_numpy(packed(zeros.T, self.bits).T.copy())
        return found


def refusal(choice: LayerChoice, kind: str, shape: Sequence[int]) -> str | None:
    """Return why the format does not hold a quantized weight, None where it does.

    Args:
        choice: of the layer.
        kind: of the layer.
        shape: of the weight.
    """
    if kind != LINEAR or len(shape) != 2:
        return f"it is of kind {kind}, only the weights of nn.Linear are stored"
    if choice.method not in ("post_training", "distilled"):
        return f"method={choice.method!r}, use post_training or distilled"
    if choice.activation_bits is not None:
        return f"activation_bits={choice.activation_bits}, use None: inputs stay float"
    points = (*SYMMETRIC, *ASYMMETRIC)
    if choice.points not in points or choice.bits not in BITS:
        return f"{choice.bits} bits, {choice.points}: use one of {BITS} bits, and of {points}"
    if choice.group_size == "tensor":
        return "group_size='tensor', use 'channel' or a number"
    if isinstance(choice.group_size, int) and shape[1] % choice.group_size:
        return f"its rows of {shape[1]} weights are no whole groups of {choice.group_size}"
    return None


def exact_refusal(scheme: Scheme, scale_dtype: torch.dtype) -> str | None:
    """Return why values would differ in their last bits from those evaluated, None where not."""
    if scheme.zero_points and scale_dtype != torch.float16:
        return "its scales do not fit float16, which zero points need"
    return None


def words(count: int, bits: int) -> int:
    """Return the words of so many codes."""
    return -(-count * bits // WORD)


def packed(codes: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.int32]:
    """Return the codes of each row bit after bit, the lowest first, in words: `(rows, words)`.

    Args:
        codes: shape `(rows, columns)`, below `2**bits`.
        bits: 1..8.
    """
    rows, columns = codes.shape
    found = np.zeros((rows, words(columns, bits) * 4), np.uint8)
    step = max(1, ROWS_AT_ONCE // columns)
    for start in range(0, rows, step):
        some = np.ascontiguousarray(codes[start : start + step])
        alone = np.unpackbits(some[..., None], axis=2, count=bits, bitorder="little")
        joined = np.packbits(alone.reshape(len(some), -1), axis=1, bitorder="little")
        found[start : start + step, : joined.shape[1]] = joined
    return found.view("<i4").astype(np.int32, copy=False)


def config_groups(schemes: Mapping[str, Scheme]) -> dict[str, Any]:
    """Return the groups of config.json: layers by name, one group for each scheme."""
    members: dict[Scheme, list[str]] = {}
    for layer, scheme in schemes.items():
        members.setdefault(scheme, []).append(layer)
    return {
        f"group_{number}": {
            "targets": members[scheme],
            "weights": scheme.document(),
            "input_activations": None,
            "output_activations": None,
            "format": FORMAT,
        }
        for number, scheme in enumerate(sorted(members))
    }
