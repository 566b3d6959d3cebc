"""Small layers whose inputs depend on each other, for every way to assign weights."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor, quantize_integer
from rlquant.rounding.output_error import reconstruction_error
from strategies import seeded


def layer(seed: int, groups: int = 1, channels: int = 6, fan_in: int = 12) -> tuple[Tensor, Tensor]:
    """Return a weight, and second moments of the inputs."""
    draw = seeded(seed)
    mixing = torch.randn(groups, 4, fan_in, generator=draw)
    rows = torch.randn(groups, 80, 4, generator=draw) @ mixing
    rows = rows + 0.3 * torch.randn(groups, 80, fan_in, generator=draw)
    weight = torch.randn(groups * channels, fan_in, generator=draw)
    return weight, rows.transpose(1, 2) @ rows / 80


def nearest(weight: Tensor) -> QuantizedTensor:
    """Return the weight at two bits, rounded to nearest."""
    return quantize_integer(weight, 2, clip=True)


def error(weight: Tensor, quantized: QuantizedTensor, moments: Tensor) -> float:
    """Return the error of the layer's outputs."""
    return float(reconstruction_error(quantized.dequantize() - weight, moments))
