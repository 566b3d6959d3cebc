"""Large layers rounded part by part: output channels have nothing in common but the Hessian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor

WEIGHTS_AT_ONCE = 2**23
"""Of a layer: a rounding takes some ten times their memory."""

Work = Callable[[Tensor, QuantizedTensor], QuantizedTensor]
"""Gives some channels other codes, scales and offsets of the same form."""


def in_parts(work: Work, weight: Tensor, quantized: QuantizedTensor) -> QuantizedTensor:
    """Return what is made of a quantized weight, a part of its output channels at a time.

    Args:
        work: what is done.
        weight: the float weight, output channels first.
        quantized: of the weight; its groups lie within output channels, or it is done at once.
    """
    channels = len(weight)
    rows = max(1, WEIGHTS_AT_ONCE // max(1, weight[0].numel()))
    scale = quantized.scale
    if rows >= channels or scale is None or len(scale) % channels or len(scale) < channels:
        return work(weight, quantized)
    found = [
        work(weight[start : start + rows], _channels(quantized, start, start + rows))
        for start in range(0, channels, rows)
    ]
    return replace(
        quantized,
        codes=torch.cat([part.codes for part in found]),
        scale=_joined([part.scale for part in found]),
        offset=_joined([part.offset for part in found]),
        zero_point=_joined([part.zero_point for part in found]),
    )


def _channels(quantized: QuantizedTensor, start: int, stop: int) -> QuantizedTensor:
    assert quantized.scale is not None
    groups = len(quantized.scale) // len(quantized.codes)

    def some(numbers: Tensor | None) -> Tensor | None:
        return None if numbers is None else numbers[start * groups : stop * groups]

    return replace(
        quantized,
        codes=quantized.codes[start:stop],
        scale=some(quantized.scale),
        offset=some(quantized.offset),
        zero_point=some(quantized.zero_point),
    )


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None
