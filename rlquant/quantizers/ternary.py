"""Ternary weights: -Wn, 0 or +Wp, by a threshold relative to the largest weight."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.arguments import explained
from rlquant.errors import QuantizationError
from rlquant.quantizers.tensor import (
    QuantizedTensor,
    require_quantizable,
    round_for_storage,
    strides_of,
)


@explained
def quantize_ternary(
    weights: Tensor,
    positive_scale: float,
    negative_scale: float,
    *,
    threshold: float = 0.05,
    scale_dtype: torch.dtype = torch.float32,
) -> QuantizedTensor:
    """Quantize to +Wp above `threshold * max|w|`, -Wn below minus that, and 0 in between.

    A weight at exactly the threshold becomes 0; a tensor of zeros stays zero.

    Args:
        weights: float, any shape; never written to.
        positive_scale: Wp, above 0.
        negative_scale: Wn, above 0.
        threshold: share of the largest |w|, 0..1.
        scale_dtype: float32 or float16, the type in which the two scales are stored.

    Returns:
        Kind "ternary", codes 0, 1, 2 for -Wn, 0, +Wp.

    Raises:
        QuantizationError: weights not quantizable, a scale that is not finite and above 0 as
            stored, or a threshold outside 0..1.

    Source: Zhu et al. 2016, "Trained ternary quantization" (the fixed-threshold rule).
    """
    require_quantizable(weights)
    scales = [-negative_scale, 0.0, positive_scale]
    values = torch.tensor(scales, dtype=torch.float32, device="cpu")
    if not (values[2] > 0 and values[0] < 0):
        raise QuantizationError(
            f"positive_scale={positive_scale!r}, negative_scale={negative_scale!r}: "
            f"use finite numbers above 0"
        )
    stored = round_for_storage(values.to(weights.device), scale_dtype)
    if not (stored[2] > 0 and stored[0] < 0):
        raise QuantizationError(
            f"positive_scale={positive_scale!r}, negative_scale={negative_scale!r}: "
            f"too small for {scale_dtype}; use scale_dtype=torch.float32"
        )
    positive, negative = ternary_signs(weights, threshold)
    return QuantizedTensor(
        (1 + positive.to(torch.uint8) - negative.to(torch.uint8)).contiguous(),
        2,
        "ternary",
        values=stored,
        strides=strides_of(weights),
    )


@explained
def ternary_scales(weights: Tensor, *, threshold: float = 0.05) -> tuple[float, float]:
    """Return the scales (Wp, Wn) of least squared error: the mean |w| of either set.

    An empty set takes the scale of the other one, and both are 1 for a tensor of zeros, so that
    the scales are always above 0.

    Args:
        weights: float, any shape.
        threshold: share of the largest |w|, 0..1, as in `quantize_ternary`.

    Raises:
        QuantizationError: weights not quantizable, or a threshold outside 0..1.
    """
    require_quantizable(weights)
    sizes = weights.detach().double().abs()
    means = [
        float(sizes[chosen].mean()) for chosen in ternary_signs(weights, threshold) if chosen.any()
    ]
    if not means:
        return 1.0, 1.0
    if len(means) == 1:
        return means[0], means[0]
    return means[0], means[1]


@explained
def sparsity_threshold(weights: Tensor, sparsity: float) -> float:
    """Return the `threshold` that makes a share `sparsity` of the weights zero.

    The number of zeros is `sparsity * weights` rounded to a whole number (a half to the even
    one). Weights equal to the largest of these become zero with it, and weights that are 0 stay
    0, so there may be more.

    Args:
        weights: float, any shape.
        sparsity: wanted share of zeros, 0..1.

    Returns:
        A share of max|w|, to be passed to `quantize_ternary`.

    Raises:
        QuantizationError: weights not quantizable, or a sparsity outside 0..1.

    Source: Zhu et al. 2016, "Trained ternary quantization" (the constant-sparsity rule).
    """
    require_quantizable(weights)
    _require_share("sparsity", sparsity)
    zeros = round(sparsity * weights.numel())
    sizes = weights.detach().float().abs().reshape(-1).sort().values
    largest = float(sizes[-1])
    return float(sizes[zeros - 1]) / largest if zeros and largest else 0.0


@explained
def ternary_signs(weights: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return where weights are above the threshold and where below its negative, as bool.

    Args:
        weights: float, any shape.
        threshold: share of the largest |w|, 0..1; a weight at exactly the threshold is in neither.

    Raises:
        QuantizationError: a threshold outside 0..1.
    """
    _require_share("threshold", threshold)
    values = weights.detach().float()
    # The product in float64, rounded once: a threshold made of a weight's own share of the
    # maximum gives that weight back exactly.
    delta = (values.abs().amax().double() * threshold).float()
    return values > delta, values < -delta


def _require_share(field: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise QuantizationError(f"{field}={value!r}, use a number in 0..1")
