"""Output error of a quantized layer, by the layer Hessian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor


def reconstruction_error(error: Tensor, moments: Tensor | None) -> Tensor:
    """Return the mean squared error of a layer's outputs that an error of its weights makes.

    Args:
        error: shape of the weight, output channels first.
        moments: of the inputs, shape `(groups, fan_in, fan_in)`; None weighs all weights equally.
    """
    if moments is None:
        return error.square().sum()
    return channel_errors(error, moments).sum()


def channel_errors(error: Tensor, moments: Tensor) -> Tensor:
    """Return the part of each output channel in `reconstruction_error`, shape `(channels,)`."""
    rows = error.reshape(moments.shape[0], -1, moments.shape[1]).to(moments.dtype)
    return ((rows @ moments) * rows).sum(dim=2).reshape(-1)


def best_per_channel(
    weight: Tensor, candidates: Sequence[QuantizedTensor], moments: Tensor
) -> QuantizedTensor:
    """Return for each output channel the codes with the least error; of equals the first.

    Args:
        weight: the float weight, output channels first.
        candidates: assignments on one grid.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
    """
    plain = weight.detach().float()
    errors = torch.stack([channel_errors(c.dequantize() - plain, moments) for c in candidates])
    codes = torch.stack([c.codes for c in candidates])
    channels = torch.arange(len(plain), device=codes.device)
    return replace(candidates[0], codes=codes[errors.argmin(dim=0), channels])


def better_per_channel(
    weight: Tensor, first: QuantizedTensor, second: QuantizedTensor, moments: Tensor
) -> QuantizedTensor:
    """Return for each output channel the codes of two with the less error; of equals the first.

    One product of matrices says it: with errors a and b, a'Ha - b'Hb = (a - b)'H(a + b).

    Args:
        weight: the float weight, output channels first.
        first: an assignment.
        second: another on the same grid.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
    """
    shape = (moments.shape[0], -1, moments.shape[1])
    values = [each.dequantize().reshape(shape) for each in (first, second)]
    apart = values[0] - values[1]
    both = values[0].add_(values[1]).sub_(weight.detach().float().reshape(shape), alpha=2)
    gained = ((apart @ moments).mul_(both)).sum(dim=2).reshape(-1) > 0
    keep = gained.reshape(-1, *[1] * (first.codes.dim() - 1))
    return replace(first, codes=torch.where(keep, second.codes, first.codes))
