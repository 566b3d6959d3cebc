"""GPTQ (Frantar et al. 2022): the error of one weight is compensated by those after it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.grid import Grid
from rlquant.rounding.output_error import best_per_channel

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
    largest second moments come first. One pass, no randomness. A channel of which the outputs do
    not come nearer stays as it was.

    Args:
        weight: the float weight, output channels first.
        quantized: nearest rounding; its grid is kept.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`, finite.
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
    return best_per_channel(weight, [quantized, replace(quantized, codes=settled)], moments)


def _factor(moments: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """Return the order of the inputs, and the upper Cholesky factor of the inverse moments.

    Where rounding left the moments with negative eigenvalues, the damping grows until there is a
    factor. Inputs that never vary count alike.
    """
    fan_in = moments.shape[1]
    diagonal = moments.diagonal(dim1=1, dim2=2)
    order = diagonal.argsort(dim=1, descending=True, stable=True)
    rows = moments.gather(1, order[:, :, None].expand_as(moments))
    ordered = rows.gather(2, order[:, None, :].expand_as(moments))
    identity = torch.eye(fan_in, dtype=moments.dtype, device=moments.device)
    mean = diagonal.mean(dim=1)
    added = damping * torch.where(mean > torch.finfo(moments.dtype).tiny / damping, mean, 1.0)
    while True:
        root, failed = torch.linalg.cholesky_ex(ordered + added[:, None, None] * identity)
        factor, failed_too = torch.linalg.cholesky_ex(torch.cholesky_inverse(root), upper=True)
        failed = (failed != 0) | (failed_too != 0)
        if not failed.any():
            return order, factor
        added = torch.where(failed, 10 * added, added)
