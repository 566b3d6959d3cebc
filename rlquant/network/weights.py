"""A choice and a float weight in, the quantized weight out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rlquant.choices import BucketSize, LayerChoice
from rlquant.quantizers import (
    QuantizedTensor,
    kmeans_points,
    quantile_points,
    quantize_integer,
    quantize_power_of_two,
    quantize_ternary,
    quantize_to_points,
    quantize_uniform,
    ternary_scales,
)
from rlquant.size import LayerStorage


def layer_generator(seed: int, layer: str) -> torch.Generator:
    """Return the generator of a layer's random draws: the same in every process."""
    digest = hashlib.blake2b(f"{seed}:{layer}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def _integer(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    return quantize_integer(weight, choice.bits, clip=choice.points == "clipped", **common)


def _power_of_two(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    names = ("rounding", "generator", "scale_dtype")  # one scale per tensor: no buckets
    return quantize_power_of_two(weight, choice.bits, **{n: common[n] for n in names})


def _uniform(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    return quantize_uniform(weight, choice.bits, **common)


def _quantile(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    buckets = {n: common[n] for n in ("bucket_size", "channel_axis")}
    points = quantile_points(weight, 2**choice.bits, **buckets)
    return quantize_to_points(weight, points, **common)


def _kmeans(weight: Tensor, choice: LayerChoice, common: dict[str, Any]) -> QuantizedTensor:
    buckets = {n: common[n] for n in ("bucket_size", "channel_axis")}
    points = kmeans_points(weight, 2**choice.bits, **buckets)
    return quantize_to_points(weight, points, **common)


Quantizer = Callable[[Tensor, LayerChoice, dict[str, Any]], QuantizedTensor]

QUANTIZERS: Mapping[str, Quantizer] = {
    "symmetric": _integer,
    "clipped": _integer,
    "fixed_point": _power_of_two,
    "uniform": _uniform,
    "quantile": _quantile,
    "kmeans": _kmeans,
    "learned": _quantile,  # where learned points start
}
"""How each kind of points is placed after training, by its name in `LayerChoice.points`."""


def quantize_weight(
    weight: Tensor,
    choice: LayerChoice,
    *,
    bucket_size: BucketSize = "channel",
    channel_axis: int = 0,
    seed: int = 0,
) -> QuantizedTensor:
    """Quantize one layer's weight as `choice` says, scales rounded as they will be stored.

    Random draws depend on `seed` and the layer's name alone. The weight is not changed.
    """
    storage = LayerStorage.of(weight, bucket_size, channel_axis)
    dtype = storage.scale_dtype(choice)
    if choice.method == "ternary":
        return quantize_ternary(weight, *ternary_scales(weight), scale_dtype=dtype)
    common = {
        "rounding": choice.rounding,
        "generator": layer_generator(seed, choice.layer),
        "bucket_size": bucket_size,
        "channel_axis": channel_axis,
        "scale_dtype": dtype,
    }
    return QUANTIZERS[choice.points](weight, choice, common)
