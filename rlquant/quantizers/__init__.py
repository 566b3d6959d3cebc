"""Quantizers: pure functions from a float tensor to codes, codebook, scale and offset."""

from rlquant.quantizers.activation import ActivationQuantizer, activation_grid
from rlquant.quantizers.activation_ranges import activation_range
from rlquant.quantizers.affine import quantize_affine
from rlquant.quantizers.affine_step import quantize_affine_step
from rlquant.quantizers.codebook import kmeans_points, quantile_points, quantize_to_points
from rlquant.quantizers.fixed_point import quantize_fixed_point
from rlquant.quantizers.integer_grid import (
    quantize_integer,
    quantize_power_of_two,
    quantize_to_scale,
)
from rlquant.quantizers.kmeans import quantize_kmeans
from rlquant.quantizers.prescribed import quantize_prescribed
from rlquant.quantizers.rounding import round_nearest, round_stochastic, rounder
from rlquant.quantizers.signed_scale import quantize_signed_scale
from rlquant.quantizers.super_blocks import quantize_super_blocks
from rlquant.quantizers.tensor import QuantizedTensor, storage_dtype
from rlquant.quantizers.ternary import (
    quantize_ternary,
    sparsity_threshold,
    ternary_scales,
    ternary_signs,
)
from rlquant.quantizers.zero_point import quantize_zero_point

__all__ = [
    "ActivationQuantizer",
    "QuantizedTensor",
    "activation_grid",
    "activation_range",
    "kmeans_points",
    "quantile_points",
    "quantize_affine",
    "quantize_affine_step",
    "quantize_fixed_point",
    "quantize_integer",
    "quantize_kmeans",
    "quantize_power_of_two",
    "quantize_prescribed",
    "quantize_signed_scale",
    "quantize_super_blocks",
    "quantize_ternary",
    "quantize_to_points",
    "quantize_to_scale",
    "quantize_zero_point",
    "round_nearest",
    "round_stochastic",
    "rounder",
    "sparsity_threshold",
    "storage_dtype",
    "ternary_scales",
    "ternary_signs",
]
