"""Fixed-point numbers <IL, FL>: the arithmetic of limited-precision training."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.config import Rounding
from rlquant.errors import QuantizationError
from rlquant.quantizers.rounding import rounder
from rlquant.quantizers.tensor import require_quantizable

WIDEST_WORD = 32


@explained
def quantize_fixed_point(
    x: Tensor,
    integer_bits: int,
    fraction_bits: int,
    *,
    rounding: Rounding = "nearest",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Convert to <integer_bits, fraction_bits>: round to multiples of 2^-FL, then saturate.

    The range is [-2^(IL-1), 2^(IL-1) - 2^-FL]. In float32 every number of a format of up to 24
    bits, scaling by 2^FL and rounding are exact; wider formats (up to 32) need a float64 `x`.

    Args:
        x: float, any shape; never written to.
        integer_bits: IL, the sign included, at least 1.
        fraction_bits: FL, at least 0; IL + FL at most 32.
        rounding: "nearest" (a tie goes down) or "stochastic" (unbiased inside the range).
        generator: needed by "stochastic".

    Returns:
        Shape, dtype and device of `x`; float16 and bfloat16 are converted in float32 first.

    Raises:
        QuantizationError: NaN or infinity in `x`, or an argument outside its range.

    Source: Gupta et al. 2015, "Limited precision arithmetic" (Convert).
    """
    require_quantizable(x, "values")
    _require_format(integer_bits, fraction_bits)
    round_ = rounder(rounding, generator)
    steps = x.detach().to(torch.promote_types(x.dtype, torch.float32)) * 2.0**fraction_bits
    half = 2 ** (integer_bits + fraction_bits - 1)
    return (round_(steps).clamp(-half, half - 1) * 2.0**-fraction_bits).to(x.dtype)


def _require_format(integer_bits: int, fraction_bits: int) -> None:
    whole = all(
        isinstance(n, int) and not isinstance(n, bool) for n in (integer_bits, fraction_bits)
    )
    if (
        not whole
        or integer_bits < 1
        or fraction_bits < 0
        or integer_bits + fraction_bits > WIDEST_WORD
    ):
        raise QuantizationError(
            f"integer_bits={integer_bits!r}, fraction_bits={fraction_bits!r}: use whole numbers, "
            f"integer_bits >= 1 (sign included), fraction_bits >= 0, {WIDEST_WORD} bits together "
            f"at most"
        )
