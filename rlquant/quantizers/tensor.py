"""The one form of every quantized weight: codes, codebook, scale and offset per group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rlquant.config import GroupSize
from rlquant.errors import QuantizationError
from rlquant.quantizers.groups import spread

CodebookKind = Literal[
    "integer", "affine", "stored", "ternary", "steps", "iq4_nl", "mxfp4", "tied_ternary"
]
PRESCRIBED: Mapping[str, tuple[int, ...]] = {
    "iq4_nl": (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113),
    "mxfp4": (-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12),
    "tied_ternary": (-1, 0, 1),
}
"""Codebooks of file formats, by kind: IQ4_NL of ggml; twice the values of E2M1, four bits of the
Open Compute Project's microscaling formats; three values."""

TERNARY_CODES_PER_BYTE = 5  # 3**5 = 243 fits a byte
HALF_OFFSET_BITS = 10
"""The widest codes beside a float16 offset: with its 11 significant bits it is exact to half a
step of them at 10 bits, and wider codes would gain nothing."""
PIECE = 2**17
"""Codes that are looked up at a time: their indices stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedTensor:
    """A quantized weight: `value[i] = offset[b(i)] + scale[b(i)] * codebook[codes[i]]`.

    Attributes:
        codes: shape of the weight, contiguous; uint8 up to 8 bits, int32 above; in `[0, 2**bits)`.
        bits: width of a code (2 for ternary).
        kind: "integer" (-2**(b-1) .. 2**(b-1)-1, implied), "affine" (equally spaced on [0, 1],
            implied), "stored" (any ascending values), "ternary" (-Wn, 0, +Wp), "steps"
            (0 .. 2**b - 1, implied) or a key of `PRESCRIBED`.
        scale: shape `(groups,)`, or None for 1; below 0 where a group's grid is turned over.
        offset: shape `(groups,)`, or None for 0.
        zero_point: the code of value 0 in each group of kind "affine" or "steps", stored in place
            of the offset, which follows from it in float32; shape `(groups,)`, of the type of the
            scale, whole where 0 is to be a point exactly. None where the offset is stored.
        values: the stored codebook, at most `2**bits` values; None where it is implied.
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        channel_axis: the output-channel axis of the weight.
        strides: memory layout that `dequantize` reproduces; None for contiguous.
    """

    codes: Tensor
    bits: int
    kind: CodebookKind
    scale: Tensor | None = None
    offset: Tensor | None = None
    values: Tensor | None = None
    group_size: GroupSize = "tensor"
    channel_axis: int = 0
    strides: tuple[int, ...] | None = None
    zero_point: Tensor | None = None

    def __post_init__(self) -> None:
        if self.zero_point is not None:
            assert self.scale is not None
            if self.kind == "steps":
                offset = -(self.zero_point.float() * self.scale.float())
            else:
                offset = offset_of(self.scale, self.zero_point, self.bits)
            object.__setattr__(self, "offset", offset)

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """What is stored beside the codes: scale, offset or zero point, codebook, if there."""
        second = self.offset if self.zero_point is None else self.zero_point
        return tuple(t for t in (self.scale, second, self.values) if t is not None)

    @property
    def codebook(self) -> Tensor:
        """The value of every code before scale and offset, float32, ascending."""
        if self.values is not None:
            return self.values.float()
        if self.kind in PRESCRIBED:
            points = PRESCRIBED[self.kind]
            return torch.tensor(points, device=self.codes.device, dtype=torch.float32)
        codes = torch.arange(2**self.bits, device=self.codes.device, dtype=torch.float32)
        return self._write_implied(codes)

    def dequantize(self) -> Tensor:
        """Return the values, float32, in the shape and memory layout of the original weight."""
        shape, device = self.codes.shape, self.codes.device
        if self.strides is None:
            result = torch.empty(shape, dtype=torch.float32, device=device)
        else:
            result = torch.empty_strided(shape, self.strides, dtype=torch.float32, device=device)
        self.dequantize_into(result)
        return result

    def dequantize_into(self, weight: Tensor) -> None:
        """Write the values over a weight of the same shape, whatever its type, layout or device."""
        like_codes = weight.device == self.codes.device and weight.is_contiguous()
        direct = like_codes and weight.dtype == torch.float32
        if direct:
            values = weight
        else:
            values = torch.empty(self.codes.shape, dtype=torch.float32, device=self.codes.device)
        self._write_points(values)
        layout = (self.codes.shape, self.group_size, self.channel_axis)
        if self.scale is not None:
            values *= spread(self.scale.float(), *layout)
        if self.offset is not None:
            values += spread(self.offset.float(), *layout)
        if not direct:
            weight.copy_(values)

    def _write_points(self, values: Tensor) -> None:
        """Write `codebook[codes]` without an index of eight bytes for every weight."""
        if self.values is None and self.kind not in PRESCRIBED:
            self._write_implied(values.copy_(self.codes))
            return
        codebook = self.codebook
        codes, found = (torch.split(t.reshape(-1), PIECE) for t in (self.codes, values))
        for piece, target in zip(codes, found, strict=True):
            torch.index_select(codebook, 0, piece.long(), out=target)

    def _write_implied(self, codes: Tensor) -> Tensor:
        """Write the points of an implied codebook over codes that are given as float32."""
        if self.kind == "integer":
            return codes.sub_(2 ** (self.bits - 1))
        if self.kind == "steps":
            return codes
        return codes.div_(2**self.bits - 1)

    def size_bits(self) -> int:
        """Return the bits that codes, scales, offsets and a stored codebook take."""
        count = self.codes.numel()
        if self.kind == "ternary":
            # -Wn and +Wp are stored, the 0 between them is known.
            element = 0 if self.values is None else 8 * self.values.element_size()
            return 8 * -(-count // TERNARY_CODES_PER_BYTE) + 2 * element
        return count * self.bits + sum(8 * t.nbytes for t in self.numbers)


def offset_of(scale: Tensor, zero_point: Tensor, bits: int) -> Tensor:
    """Return the offset of an affine grid, float32: code `zero_point` has the value 0 exactly."""
    zero: Tensor = zero_point.float() / (2**bits - 1)
    return zero.mul_(scale.float()).neg_()


def codes_dtype(bits: int) -> torch.dtype:
    """Return the integer type that holds codes of `bits` bits."""
    return torch.uint8 if bits <= 8 else torch.int32


def strides_of(weights: Tensor) -> tuple[int, ...]:
    """Return the memory layout to reproduce: the weight's own, closed up where it has gaps."""
    return tuple(torch.empty_like(weights, device="meta").stride())


def require_quantizable(values: Tensor, name: str = "weights") -> None:
    """Raise `QuantizationError` unless `values` is a non-empty float tensor, finite in float32."""
    if not values.is_floating_point() or values.is_meta:
        kind = "a meta tensor" if values.is_meta else f"of type {values.dtype}"
        raise QuantizationError(f"{name} are {kind}; only float tensors with data are quantized")
    if values.numel() == 0:
        raise QuantizationError(f"{name} of shape {tuple(values.shape)} have no element")
    finite = torch.isfinite(values.float())
    if not finite.all():
        count = int((~finite).sum())
        raise QuantizationError(f"{count} of {values.numel()} {name} are NaN or infinite")


def require_bits(bits: object, most: int = 16) -> None:
    """Raise `QuantizationError` unless `bits` is a whole number in `[1, most]`."""
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= most:
        raise QuantizationError(f"bits={bits!r}, use a whole number in 1..{most}")


def storage_dtype(
    smallest: float, largest: float, bits: int, *, offset: bool = False
) -> torch.dtype:
    """Return the type in which a layer's scales, offsets and codebook are stored.

    Args:
        smallest: smallest non-zero over the layer's groups of the group's max |w|.
        largest: largest of the same.
        bits: width of a code.
        offset: whether groups store an offset too, whose rounding error all their weights share.

    Returns:
        float16 where the layer's smallest scale keeps at least four significant bits in it,
        nothing overflows, and an offset is exact to about a step; else float32.
    """
    fits = largest < 2.0**14 and (largest == 0.0 or smallest / 2**bits >= 2.0**-20)
    fits = fits and not (offset and bits > HALF_OFFSET_BITS)
    return torch.float16 if fits else torch.float32


def round_for_storage(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Round scales, offsets or a codebook to the type in which they are stored, to nearest.

    Raises:
        QuantizationError: `dtype` is not float16 or float32, or a number overflows in it.
    """
    if dtype not in (torch.float16, torch.float32):
        raise QuantizationError(f"scale_dtype={dtype}, use torch.float32 or torch.float16")
    stored = numbers.to(dtype)
    if not torch.isfinite(stored).all():
        largest = float(numbers.abs().amax())
        raise QuantizationError(
            f"a scale, offset or point of {largest:.4g} is too large for {dtype}; "
            f"use scale_dtype=torch.float32, or smaller weights"
        )
    return stored
