"""Weights as rows of groups: what every quantizer begins with, and puts its codes back into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rlquant.config import GroupSize, Rounding
from rlquant.quantizers.groups import from_rows, importance_rows, require_group_size, to_rows
from rlquant.quantizers.rounding import round_nearest, rounder
from rlquant.quantizers.tensor import (
    CodebookKind,
    QuantizedTensor,
    codes_dtype,
    require_bits,
    require_quantizable,
    strides_of,
)

AT_ONCE = 2**21
"""Weights that are quantized together: what comes between takes some ten times their memory."""


def parts_of(rows: Tensor, at_once: int, together: int = 1) -> Iterator[slice]:
    """Yield slices of consecutive groups that have so many weights at most, at least one each.

    Args:
        rows: groups, shape `(groups, size)`.
        at_once: weights of a part.
        together: groups that belong together; a part has a multiple of them.
    """
    some = together * max(1, at_once // (rows.shape[1] * together))
    return (slice(start, start + some) for start in range(0, len(rows), some))


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

    def parts(self, together: int = 1) -> Iterator[slice]:
        """Yield slices of the rows; where rounding draws one alone, as draws follow the order.

        Args:
            together: groups that belong together; a part has a multiple of them.
        """
        at_once = AT_ONCE if self.round is round_nearest else self.rows.numel()
        return parts_of(self.rows, at_once, together)

    def codes(self, made: Callable[..., Tensor], *numbers: Tensor) -> Tensor:
        """Return codes in rows, made of a part at a time, as they are stored.

        Args:
            made: gives the codes of rows and of their numbers.
            *numbers: of groups, shape `(groups,)`.
        """
        dtype = codes_dtype(self.bits)
        found = (
            made(self.rows[part], *(each[part] for each in numbers)).to(dtype)
            for part in self.parts()
        )
        return torch.cat(list(found))

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
