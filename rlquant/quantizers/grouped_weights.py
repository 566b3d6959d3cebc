"""Weights as rows of groups: what every quantizer begins with, and puts its codes back into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.config import GroupSize, Rounding
from rlquant.quantizers.groups import from_rows, importance_rows, require_group_size, to_rows
from rlquant.quantizers.rounding import rounder
from rlquant.quantizers.tensor import (
    CodebookKind,
    QuantizedTensor,
    codes_dtype,
    require_bits,
    require_quantizable,
    strides_of,
)


@dataclass(frozen=True, slots=True, eq=False)
class GroupedWeights:
    """Weights to quantize, group by group.

    Attributes:
        rows: groups, shape `(groups, size)`, float32; see `to_rows`.
        counts: what each weight's squared error counts, shape of `rows`, 0 for padding; None where
            all count alike.
        bits: of a code.
        round: rounds values in units of the codes.
        shape, strides: of the weights.
        group_size, channel_axis: how they are grouped.
    """

    rows: Tensor
    counts: Tensor | None
    bits: int
    round: Callable[[Tensor], Tensor]
    shape: torch.Size
    strides: tuple[int, ...]
    group_size: GroupSize
    channel_axis: int

    @classmethod
    def of(
        cls,
        weights: Tensor,
        bits: int,
        group_size: GroupSize,
        rounding: Rounding,
        generator: torch.Generator | None,
        channel_axis: int = 0,
        importance: Tensor | None = None,
        *,
        most_bits: int = 16,
    ) -> GroupedWeights:
        """Check the arguments that quantizers share, and take weights apart.

        Args:
            weights: float, any shape; never written to.
            bits: 1..`most_bits`.
            group_size: consecutive weights of a row, "channel" or "tensor".
            rounding: "nearest" or "stochastic".
            generator: needed by "stochastic".
            channel_axis: the output-channel axis.
            importance: what each weight's squared error counts, at least 0, in a shape that
                broadcasts to that of the weights; None where all count alike.
            most_bits: of the format.

        Raises:
            QuantizationError: weights not quantizable, or an argument outside its range.
        """
        require_quantizable(weights)
        require_bits(bits, most_bits)
        require_group_size(group_size)
        return cls(
            round=rounder(rounding, generator),
            rows=to_rows(weights.detach().float(), group_size, channel_axis),
            counts=importance_rows(weights, importance, group_size, channel_axis),
            bits=bits,
            shape=weights.shape,
            strides=strides_of(weights),
            group_size=group_size,
            channel_axis=channel_axis,
        )

    def nearest_codes(self, places: Tensor) -> Tensor:
        """Return codes of values in units of the codes, rounded and saturated."""
        return self.round(places).clamp(0, 2**self.bits - 1)

    def with_codes(
        self, codes: Tensor, kind: CodebookKind, **numbers: Tensor | None
    ) -> QuantizedTensor:
        """Return the quantized weights of codes in rows.

        Args:
            codes: whole numbers, shape of `rows`.
            kind: of the quantized weights.
            **numbers: scales, offsets, ... by the names of `QuantizedTensor`.
        """
        stored = codes.to(codes_dtype(self.bits))
        return QuantizedTensor(
            from_rows(stored, self.shape, self.group_size, self.channel_axis),
            self.bits,
            kind,
            group_size=self.group_size,
            channel_axis=self.channel_axis,
            strides=self.strides,
            **numbers,
        )
