"""Coordinate descent on the layer's output error, one input of all channels at a time."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grid import Grid


def descend(
    weight: Tensor,
    quantized: QuantizedTensor,
    moments: Tensor,
    *,
    movable: Tensor | None = None,
    sweeps: int = 2,
) -> QuantizedTensor:
    """Reassign weights so that the layer's outputs come nearer to the float layer's.

    The squared error of the outputs is a quadratic form of the weights' errors; its best value
    for one weight, the others held, is taken to the nearest point. Weights of different output
    channels do not meet, so that one input of all channels is settled at once. The error never
    grows.

    Args:
        weight: the float weight, output channels first.
        quantized: where to start; its grid is kept.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        movable: bool, shape of the weight; the weights that may change. None for all.
        sweeps: times that every weight is looked at.

    Returns:
        The same grid with other codes.
    """
    grid = Grid.of(quantized)
    groups, fan_in = moments.shape[:2]
    shape = (groups, -1, fan_in)
    scale, offset = (t.reshape(shape) for t in (grid.scale, grid.offset))
    codes = quantized.codes.long().reshape(shape)
    values = offset + scale * grid.codebook[codes]
    slopes = (values - weight.float().reshape(shape)) @ moments
    fixed = (scale == 0) if movable is None else (scale == 0) | ~movable.reshape(shape)
    middles = grid.middles
    diagonal = moments.diagonal(dim1=1, dim2=2)
    order = diagonal.sum(dim=0).argsort(descending=True).tolist()
    for _ in range(sweeps):
        before = codes.clone()
        for j in order:
            curvature = diagonal[:, j, None].clamp_min(1e-30)
            wanted = values[:, :, j] - slopes[:, :, j] / curvature
            unit = (wanted - offset[:, :, j]) / scale[:, :, j]
            found = torch.where(fixed[:, :, j], codes[:, :, j], torch.bucketize(unit, middles))
            moved = offset[:, :, j] + scale[:, :, j] * grid.codebook[found] - values[:, :, j]
            slopes += moved[:, :, None] * moments[:, None, j]
            values[:, :, j] += moved
            codes[:, :, j] = found
        if torch.equal(codes, before):
            break
    settled = codes.reshape(quantized.codes.shape).to(quantized.codes.dtype)
    return replace(quantized, codes=settled)
