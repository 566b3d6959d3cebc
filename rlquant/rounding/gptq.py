"""Assignment with error feedback: what one weight is off by, the ones after it make up for."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grid import Grid

DAMPING = 0.01
"""Added to the diagonal of the moments, as a share of its mean: inputs may depend on each other."""


def feed_back(
    weight: Tensor,
    quantized: QuantizedTensor,
    moments: Tensor,
    *,
    damping: float = DAMPING,
) -> QuantizedTensor:
    """Assign weights one input at a time, each to the point nearest to what is wanted of it.

    What a weight is off by is made up for, as well as can be, by the weights of the same output
    channel that are still free; so what is wanted of the later ones moves. Inputs with the
    largest second moments come first. One pass, no randomness.

    Args:
        weight: the float weight, output channels first.
        quantized: gives the grid, which is kept; its codes stay in buckets of scale 0 alone.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        damping: above 0; see `DAMPING`.

    Returns:
        The same grid with other codes.

    Source: Frantar et al. 2022, "GPTQ", with the columns in order of their activations.
    """
    grid = Grid.of(quantized)
    groups, fan_in = moments.shape[:2]
    shape = (groups, -1, fan_in)
    scale, offset = (t.reshape(shape).double() for t in (grid.scale, grid.offset))
    codes = quantized.codes.long().reshape(shape).clone()
    wanted = weight.detach().double().reshape(shape).clone()
    codebook, middles = grid.codebook.double(), grid.middles.double()
    order, factor = _factor(moments.double(), damping)
    wanted, codes, scale, offset = (
        t.gather(2, order[:, None, :].expand_as(t)) for t in (wanted, codes, scale, offset)
    )
    for j in range(fan_in):
        at, unit = wanted[:, :, j], scale[:, :, j]
        found = torch.bucketize(((at - offset[:, :, j]) / unit).contiguous(), middles)
        codes[:, :, j] = torch.where(unit > 0, found, codes[:, :, j])
        value = offset[:, :, j] + unit * codebook[codes[:, :, j]]
        error = (at - value) / factor[:, j, j, None]
        wanted[:, :, j + 1 :] -= error[:, :, None] * factor[:, None, j, j + 1 :]
    back = torch.empty_like(codes).scatter_(2, order[:, None, :].expand_as(codes), codes)
    settled = back.reshape(quantized.codes.shape).to(quantized.codes.dtype)
    return replace(quantized, codes=settled)


def _factor(moments: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """Return the order of the inputs, and the upper Cholesky factor of the inverse moments."""
    groups, fan_in = moments.shape[:2]
    diagonal = moments.diagonal(dim1=1, dim2=2)
    order = diagonal.argsort(dim=1, descending=True, stable=True)
    rows = moments.gather(1, order[:, :, None].expand_as(moments))
    ordered = rows.gather(2, order[:, None, :].expand_as(moments))
    added = damping * diagonal.mean(dim=1).clamp_min(torch.finfo(moments.dtype).tiny)
    identity = torch.eye(fan_in, dtype=moments.dtype, device=moments.device)
    damped = ordered + added.reshape(groups, 1, 1) * identity
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return order, torch.linalg.cholesky(inverse, upper=True)
