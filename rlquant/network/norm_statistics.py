"""Statistics of BatchNorms, moved by the difference that quantization makes.

Re-estimated statistics (Sun et al. 2019 and others) forget what the network was trained with: a few
hundred samples say less of it. The difference of two estimates on the same samples, a control
variate, says as much of the shift and leaves the rest as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class NormStatistics:
    """A BatchNorm of the float network: what it has learned, and what its inputs are like.

    Attributes:
        running_mean, running_var: as the network came with them, shape `(channels,)`.
        mean, variance: of its inputs, over samples and positions, shape `(channels,)`.
    """

    running_mean: Tensor
    running_var: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, module: nn.Module, inputs: Tensor) -> NormStatistics:
        """Return those of a float network's module and of its inputs."""
        assert isinstance(module.running_mean, Tensor)
        assert isinstance(module.running_var, Tensor)
        running = module.running_mean.clone(), module.running_var.clone()
        return cls(*running, *channel_statistics(inputs))

    @property
    def learned(self) -> NormStatistics:
        """The same, where the module has learned nothing yet with the samples' own statistics."""
        if self.running_mean.any() or (self.running_var != 1).any():
            return self
        return replace(self, running_mean=self.mean, running_var=self.variance)

    def moved(self, inputs: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """Return running mean and variance for the inputs in a quantized network.

        The inputs of the float network give the running statistics back, bit for bit. A variance
        that grows does so by the smaller of factor and difference: inputs of a channel that is
        silent on these samples say nothing of the factor.

        Args:
            inputs: of the same samples, shape `(samples, channels, ...)`.
            eps: what the module adds to the variance.
        """
        mean, variance = channel_statistics(inputs)
        factor = (variance + eps) / (self.variance + eps)
        more = torch.where(variance > self.variance, variance - self.variance, torch.inf)
        return (
            self.running_mean + (mean - self.mean),
            torch.minimum(self.running_var * factor, self.running_var + more),
        )


def channel_statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel (axis 1) over samples and positions.

    Two passes, each summing positions first: as exact as `torch.var_mean` over the same axes and
    an order of magnitude faster on a CPU. At least float32, as float16 would overflow.
    """
    rows = inputs.reshape(*inputs.shape[:2], -1)
    count = rows.shape[0] * rows.shape[2]
    wide = torch.promote_types(rows.dtype, torch.float32)
    mean = rows.sum(dim=2, dtype=wide).sum(dim=0) / count
    spread = torch.linalg.vector_norm(rows - mean[:, None], dim=2)
    return mean, spread.square().sum(dim=0) / count
