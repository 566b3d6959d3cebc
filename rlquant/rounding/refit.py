"""Least-squares scales and offsets of a layer's groups, for codes that are given."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.groups import spread
from rlquant.rounding.grid import Grid
from rlquant.rounding.parts import in_parts

RIDGE = 1e-3
"""Added to the diagonal of the normal equations, as a share of it."""
NUMBERS_AT_ONCE = 2**23
"""Of normal equations that are solved together."""


def refit_scales(weight: Tensor, quantized: QuantizedTensor, hessian: Tensor) -> QuantizedTensor:
    """Fit scales (and offsets) to the codes so that the error of the layer's outputs is least.

    All groups of an output channel are fitted together, as their errors meet in its output. The
    numbers are rounded as they are stored, and a channel that gains nothing keeps its own.

    Args:
        weight: the float weight, output channels first.
        quantized: gives the codes, which are kept; its groups lie within output channels.
        hessian: of the layer, shape `(groups, fan_in, fan_in)`.

    Returns:
        The same codes with other scales and offsets; zero points, which are of kind "steps", are
        kept.
    """

    def refitted(some: Tensor, of_some: QuantizedTensor) -> QuantizedTensor:
        return _refitted(some, of_some, hessian)

    together = len(hessian) > 1  # channels of several groups of inputs
    return (refitted if together else partial(in_parts, refitted))(weight, quantized)


def _refitted(weight: Tensor, quantized: QuantizedTensor, hessian: Tensor) -> QuantizedTensor:
    assert quantized.scale is not None
    blocks, fan_in = hessian.shape[:2]
    grid, shape = Grid.of(quantized), (blocks, -1, fan_in)
    points = grid.codebook[quantized.codes.long()]
    error = weight.detach().float() - grid.offset - grid.scale * points
    numbers = [n for n in (quantized.scale, quantized.offset) if n is not None]
    if quantized.zero_point is not None:
        numbers = numbers[:1]
        zero = quantized.zero_point.float()
        points = points - spread(zero, quantized.codes.shape, quantized.group_size, 0)
    old = torch.cat([n.float().reshape(blocks, -1, _groups(quantized)) for n in numbers], dim=2)
    size = fan_in if isinstance(quantized.group_size, str) else quantized.group_size
    points, error = points.reshape(shape), error.reshape(shape)
    at_once = max(1, NUMBERS_AT_ONCE // (blocks * (old.shape[2] ** 2 + fan_in)))
    parts = (torch.split(each, at_once, dim=1) for each in (points, error, old))
    fitted = [
        _fitted(some, errors, numbers_of, hessian, size, quantized.scale.dtype)
        for some, errors, numbers_of in zip(*parts, strict=True)
    ]
    found = torch.cat(fitted, dim=1).chunk(len(numbers), dim=2)
    scale, *offset = (
        each.reshape(given.shape).to(given.dtype)
        for each, given in zip(found, numbers, strict=True)
    )
    return replace(quantized, scale=scale, offset=offset[0] if offset else None)


def _groups(quantized: QuantizedTensor) -> int:
    """Return how many groups an output channel has."""
    assert quantized.scale is not None
    return len(quantized.scale) // len(quantized.codes)


def _fitted(
    points: Tensor, error: Tensor, old: Tensor, hessian: Tensor, size: int, dtype: torch.dtype
) -> Tensor:
    """Return the better numbers of some channels, shape of `old`.

    Args:
        points: of the weights, in units of their groups, shape `(blocks, channels, fan_in)`.
        error: weight minus its value, same shape.
        old: scales, then offsets if there are any, `(blocks, channels, numbers)`.
        hessian: shape `(blocks, fan_in, fan_in)`.
        size: weights of a group.
        dtype: in which numbers are stored.
    """
    count = -(-points.shape[2] // size)
    has_offset = old.shape[2] > count
    matrix = _normal_matrix(points, hessian, size, has_offset)
    pull = error @ hessian
    wanted = _sums(pull * points, size)
    if has_offset:
        wanted = torch.cat([wanted, _sums(pull, size)], dim=2)
    ridge = RIDGE * matrix.diagonal(dim1=2, dim2=3)
    ridge = ridge + torch.finfo(torch.float32).tiny + 1e-9 * ridge.amax(dim=2, keepdim=True)
    step, failed = torch.linalg.solve_ex(matrix + torch.diag_embed(ridge), wanted)
    stored = (old + step).to(dtype).float()
    moved = stored - old
    change = ((matrix @ moved[..., None])[..., 0] - 2 * wanted) * moved
    upright = torch.where(old[..., :count] < 0, -stored[..., :count], stored[..., :count])
    usable = torch.isfinite(stored).all(dim=2) & (upright >= 0).all(dim=2)
    better = usable & (failed == 0) & (change.sum(dim=2) < 0)
    return torch.where(better[..., None], stored, old)


def _normal_matrix(points: Tensor, hessian: Tensor, size: int, has_offset: bool) -> Tensor:
    """Return the matrix of the normal equations, shape `(blocks, channels, numbers, numbers)`."""
    starts = range(0, points.shape[2], size)
    rows, shifts = [], []
    for start in starts:
        group = slice(start, start + size)
        reached = points[:, :, group] @ hessian[:, group]
        rows.append(_sums(reached * points, size))
        if has_offset:
            shifts.append(_sums(reached, size))
    matrix = torch.stack(rows, dim=2)
    if not has_offset:
        return matrix
    across = torch.stack(shifts, dim=2)
    alone = torch.stack([hessian[:, start : start + size].sum(dim=1) for start in starts], dim=1)
    alone = _sums(alone, size)[:, None].expand_as(matrix)
    upper, lower = torch.cat([matrix, across], dim=3), torch.cat([across.mT, alone], dim=3)
    return torch.cat([upper, lower], dim=2)


def _sums(values: Tensor, size: int) -> Tensor:
    """Return the sums of every `size` values along the last axis; the last one may have fewer."""
    missing = -values.shape[-1] % size
    padded = functional.pad(values, (0, missing)) if missing else values
    return padded.reshape(*padded.shape[:-1], -1, size).sum(dim=-1)
