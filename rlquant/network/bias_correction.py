"""Bias correction: the mean error of a layer's outputs, taken back where that helps.

Source: Nagel et al. 2019, here with weights for tokens, and checked on held-out samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rlquant.plain_network import weight_of


@dataclass(frozen=True, slots=True, eq=False)
class OutputMeans:
    """Weighted means of a layer's outputs in the float network, over each half of the samples.

    A token (position of an image, ...) with the float outputs y counts by 1 / (|y| + mean |y|)^2:
    errors grow with outputs, so that a plain mean over the tokens of a transformer is that of a few
    outliers, and wrong for all others.

    Attributes:
        weights: of samples and tokens, shape `(samples, tokens)`; those of the even samples sum
            to 1, and so do those of the odd ones.
        halves: mean of each output channel over the even samples and over the odd ones, shape
            `(2, channels)`.
    """

    weights: Tensor
    halves: Tensor

    @classmethod
    def of(
        cls, module: nn.Module, output: Tensor, mask: Tensor | None = None
    ) -> OutputMeans | None:
        """Return those of a float layer's outputs, None where a half has no token.

        Args:
            module: the layer.
            output: its outputs on all samples.
            mask: which tokens count, see `Samples.mask`.
        """
        rows = output_rows(module, output)
        counts = _counts(rows, module, output, mask)
        if not all(half.any() for half in (counts[0::2], counts[1::2])):
            return None
        norms = torch.linalg.vector_norm(rows, dim=2, dtype=torch.float64)
        relative = norms / norms[counts].mean().clamp(min=torch.finfo(torch.float64).tiny)
        weights = (1 + relative) ** -2 * counts
        for half in (weights[0::2], weights[1::2]):
            half /= half.sum()
        return cls(weights.to(rows.dtype), _halves(rows, weights.to(rows.dtype)))

    def shift(self, module: nn.Module, output: Tensor) -> Tensor:
        """Return by how much to move the outputs of the quantized layer, shape `(channels,)`.

        That is minus the mean error, where it helps on samples that it was not taken from, else
        zero. The halves have the mean errors m + e and m - e, and the shift of each is tried on the
        other: a shift s changes a mean squared error by 2 s.mean + |s|^2, which is in all
        6 |e|^2 - 2 |m|^2.
        """
        errors = _halves(output_rows(module, output), self.weights) - self.halves
        mean, half_difference = (errors[0] + errors[1]) / 2, (errors[0] - errors[1]) / 2
        helps = mean.square().sum() > 3 * half_difference.square().sum()
        return torch.where(helps, -mean, torch.zeros_like(mean))


def _halves(rows: Tensor, weights: Tensor) -> Tensor:
    """Return weighted sums over the even samples and over the odd ones, shape `(2, channels)`."""
    sums = torch.bmm(weights[:, None], rows)[:, 0]
    return torch.stack([sums[0::2].sum(dim=0), sums[1::2].sum(dim=0)])


def _counts(rows: Tensor, module: nn.Module, output: Tensor, mask: Tensor | None) -> Tensor:
    """Return which tokens count, bool of shape `(samples, tokens)`."""
    shape = rows.shape[:2]
    if mask is not None and isinstance(module, nn.Linear):
        if output.dim() > 2 and output.shape[:2] == mask.shape:
            return mask[..., None].expand(*mask.shape, shape.numel() // mask.numel()).reshape(shape)
        if output.dim() == 2 and len(output) == mask.numel():
            return mask.reshape(shape)
    return rows.new_ones(shape, dtype=torch.bool)


def output_rows(module: nn.Module, output: Tensor) -> Tensor:
    """Return a layer's outputs with the shape `(samples, tokens, channels)`; at least float32."""
    wide = output.to(torch.promote_types(output.dtype, torch.float32))
    axis = output_channel_axis(module, output)
    if axis == 0:  # a single sample
        wide, axis = wide[None], 1
    channels = wide.shape[axis]
    if isinstance(module, nn.Linear):
        return wide.reshape(len(wide), -1, channels)
    return wide.reshape(len(wide), channels, -1).transpose(1, 2)


def output_channel_axis(module: nn.Module, output: Tensor) -> int:
    """Return the axis of a layer's output that counts channels (last, or before the positions)."""
    if isinstance(module, nn.Linear):
        return output.dim() - 1
    return output.dim() - weight_of(module).dim() + 1


def shifted(module: nn.Module, output: Tensor, shift: Tensor) -> Tensor:
    """Return outputs as they are once the module's bias has moved by `shift`."""
    positions = output.dim() - 1 - output_channel_axis(module, output)
    return output + shift.to(output.dtype).reshape(-1, *[1] * positions)
