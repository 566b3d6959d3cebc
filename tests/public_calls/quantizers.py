"""Everything that `rlquant.quantizers` offers, as one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from public_calls import given
from rlquant import quantizers


def _quantizers(folder: Path) -> Any:
    """Call everything that rlquant.quantizers offers."""
    x = given.prepare().train[0]
    draw = torch.Generator("cpu").manual_seed(1)
    in_range = quantizers.activation_range(x.repeat(40, 20))
    calls: dict[str, Callable[[], Any]] = {
        "ActivationQuantizer": lambda: quantizers.ActivationQuantizer(4, 0.5, 3)(x),
        "QuantizedTensor": lambda: quantizers.quantize_integer(x, 3, clip=True).dequantize(),
        "activation_grid": lambda: quantizers.activation_grid(-1e-42, 1e-40, 3),
        "activation_range": lambda: [in_range.at(3), in_range],
        "kmeans_points": lambda: quantizers.kmeans_points(x, 4),
        "quantile_points": lambda: quantizers.quantile_points(x, 4),
        "quantize_fixed_point": lambda: quantizers.quantize_fixed_point(x, 2, 3),
        "quantize_integer": lambda: quantizers.quantize_integer(x, 3),
        "quantize_kmeans": lambda: quantizers.quantize_kmeans(x, 3),
        "quantize_power_of_two": lambda: quantizers.quantize_power_of_two(x, 3),
        "quantize_ternary": lambda: quantizers.quantize_ternary(x, 1.5, 0.5),
        "quantize_to_points": lambda: quantizers.quantize_to_points(
            x, x.new_tensor([0.0, 0.5, 1.0]), rounding="stochastic", generator=draw
        ),
        "quantize_to_scale": lambda: quantizers.quantize_to_scale(x, x.abs().amax(dim=1), 3),
        "quantize_affine": lambda: quantizers.quantize_affine(x, 3).dequantize(),
        "quantize_super_blocks": lambda: quantizers.quantize_super_blocks(
            x, 4, mirrored=False
        ).dequantize(),
        "quantize_signed_scale": lambda: quantizers.quantize_signed_scale(x, 3).dequantize(),
        "quantize_prescribed": lambda: quantizers.quantize_prescribed(x, "iq4_nl").dequantize(),
        "quantize_affine_step": lambda: quantizers.quantize_affine_step(x, 3).dequantize(),
        "quantize_zero_point": lambda: quantizers.quantize_zero_point(x, 3).dequantize(),
        "round_nearest": lambda: quantizers.round_nearest(x),
        "round_stochastic": lambda: quantizers.round_stochastic(x, generator=draw),
        "rounder": lambda: quantizers.rounder("nearest", None)(x),
        "sparsity_threshold": lambda: quantizers.sparsity_threshold(x, 0.3),
        "storage_dtype": lambda: str(quantizers.storage_dtype(1e-3, 1.0, 4)),
        "ternary_scales": lambda: quantizers.ternary_scales(x),
        "ternary_signs": lambda: quantizers.ternary_signs(x, 0.1),
    }
    assert calls.keys() == set(quantizers.__all__)
    return {name: call() for name, call in calls.items()}


CALLS: Mapping[str, Callable[[Path], Any]] = {
    "quantizers": _quantizers,
}
