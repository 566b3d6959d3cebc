"""Codebooks that file formats prescribe: IQ4_NL and the ternary types of ggml, and MXFP4."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import PRESCRIBED_BITS, GroupSize, Rounding
from rlquant.errors import QuantizationError
from rlquant.quantizers.codebook import codes_at
from rlquant.quantizers.grouped_weights import GroupedWeights
from rlquant.quantizers.signed_scale import Points, in_units, signed_scale
from rlquant.quantizers.tensor import (
    PRESCRIBED,
    CodebookKind,
    QuantizedTensor,
)

SMALLEST_POWER, LARGEST_POWER = -126, 126
"""Exponents of MXFP4's scales, of those that a byte holds the ones that are normal numbers."""
POWERS_BELOW = (0, 1, 2)
"""Tried: the smallest power of two that covers a group, and smaller ones, where weights saturate.
"""


@explained
def quantize_prescribed(
    weights: Tensor,
    kind: CodebookKind,
    *,
    group_size: GroupSize = 32,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
    scale_dtype: torch.dtype = torch.float32,
    channel_axis: int = 0,
    importance: Tensor | None = None,
) -> QuantizedTensor:
    """Quantize to a scale per group times the values of a prescribed codebook.

    Args:
        weights: float, any shape; never written to.
        kind: "iq4_nl" (16 values, closer together near 0), "mxfp4" (E2M1; scales are powers of
            two) or "tied_ternary" (-1, 0, 1).
        group_size: consecutive weights of a row, "channel" or "tensor"; see `quantizers.groups`.
        rounding: "nearest" (a tie goes to the lower code) or "stochastic".
        generator: needed by "stochastic".
        scale_dtype: float32 or float16; codes are assigned with the stored scales. Those of
            "mxfp4" are float32.
        channel_axis: the output-channel axis, for "channel".
        importance: what each weight's squared error counts, at least 0, in a shape that broadcasts
            to that of the weights; all count alike by default.

    Returns:
        Of this kind; the scale is that of least squared error found, of IQ4_NL of either sign.

    Raises:
        QuantizationError: weights not quantizable, or an argument outside its range.

    Source: Open Compute Project 2023, "OCP Microscaling Formats (MX) Specification", "E2M1" and
        "E8M0"; `ggml-common.h` of llama.cpp for the values of IQ4_NL.

    Examples:
        >>> import torch
        >>> from rlquant.quantizers import quantize_prescribed
        >>> quantize_prescribed(torch.tensor([[0.5, -0.4, 0.1, 0.5]]), "tied_ternary").codes
        tensor([[2, 0, 1, 2]], dtype=torch.uint8)
    """
    if kind not in PRESCRIBED:
        raise QuantizationError(f"kind={kind!r}, use one of {tuple(PRESCRIBED)}")
    bits = PRESCRIBED_BITS[kind]
    taken = GroupedWeights.of(
        weights, bits, group_size, rounding, generator, channel_axis, importance
    )
    rows, counts = taken.rows, taken.counts
    points = Points.of(PRESCRIBED[kind], rows.device)
    if kind == "mxfp4":
        some = ((rows[p], None if counts is None else counts[p]) for p in taken.parts())
        scale = torch.cat([_power_of_two(of_part, points, own) for of_part, own in some])
    else:
        scale = signed_scale(rows, points, scale_dtype, counts)
    values = torch.tensor(PRESCRIBED[kind], dtype=torch.float32, device=rows.device)
    codes = taken.codes(lambda some, own: codes_at(in_units(some, own), values, taken.round), scale)
    return taken.with_codes(codes, kind, scale=scale)


def _power_of_two(rows: Tensor, points: Points, importance: Tensor | None) -> Tensor:
    """Return the power of two per row with the least squared error, float32."""
    largest = rows.abs().amax(dim=1)
    covering = torch.frexp(largest / points.highest)[1].clamp(SMALLEST_POWER, LARGEST_POWER)
    best, least = covering, torch.full_like(largest, torch.inf)
    for below in POWERS_BELOW:
        power = (covering - below).clamp_min(SMALLEST_POWER)
        unit = torch.ldexp(rows, -power[:, None])
        squares = points.nearest(unit.clone()).sub_(unit).square_()
        weighed = squares if importance is None else squares.mul_(importance)
        error = torch.ldexp(weighed.sum(dim=1), 2 * (power - covering))
        better = error < least
        best, least = torch.where(better, power, best), torch.where(better, error, least)
    return torch.ldexp(torch.ones_like(largest), best)
