"""AdaRound (Nagel et al. 2020): rounding learned by gradient over relaxed assignments."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.neighbours import Neighbours, quadratic

STRETCH = 0.1
"""How far the sigmoid reaches beyond 0 and 1, so that shares can arrive there."""
STEPS = 300
RATE = 0.05
SHARPEST, WIDEST = 2.0, 20.0
"""Exponents of the regulariser at the end and at the start."""
FREE = 0.2
"""Share of the steps before the regulariser sets in."""
WEIGHT = 0.02
"""Of the regulariser, against the error of the outputs over that of nearest rounding."""


def relax(
    weight: Tensor, quantized: QuantizedTensor, moments: Tensor, *, steps: int = STEPS
) -> QuantizedTensor:
    """Assign weights by gradient descent on the error of the layer's outputs.

    Each weight goes up by a share, a stretched and clamped sigmoid of a parameter; it starts at
    the float weight, and a regulariser drives it to 0 or 1. Deterministic. The errors of all
    channels are counted relative to those of nearest rounding.

    Args:
        weight: the float weight, output channels first.
        quantized: gives the grid, which is kept.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        steps: of Adam.

    Returns:
        The same grid with other codes; every weight is at one of its neighbours.

    Source: Nagel et al. 2020, "Up or down?" (AdaRound).
    """
    between = Neighbours.of(weight, quantized, moments)
    share = between.position.clamp(0.01, 0.99)
    parameter = torch.logit((share + STRETCH) / (1 + 2 * STRETCH)).requires_grad_()
    unit = quadratic(between.error(between.nearest), moments).clamp_min(1e-30)
    optimizer = torch.optim.Adam([parameter], lr=RATE, betas=(0.9, 0.99))
    for step in range(steps):
        with torch.no_grad():
            parameter.grad = _gradient(parameter.detach(), between, moments, unit, step / steps)
        optimizer.step()
    return between.assigned(parameter.detach() > 0)


def _gradient(
    parameter: Tensor, between: Neighbours, moments: Tensor, unit: Tensor, progress: float
) -> Tensor:
    """Return the gradient of relative error and regulariser; by hand, as callers may forbid it."""
    chance = torch.sigmoid(parameter)
    stretched = chance * (1 + 2 * STRETCH) - STRETCH
    up = stretched.clamp(0.0, 1.0)
    slope = 2 * between.gap * (between.error(up) @ moments) / unit[:, :, None]
    slope = slope + WEIGHT * undecided_slope(up, progress)
    inside = (stretched == up).to(slope.dtype)
    return slope * inside * (1 + 2 * STRETCH) * chance * (1 - chance)


def undecided_slope(up: Tensor, progress: float) -> Tensor:
    """Return the slope of the regulariser: of the count of shares that are neither 0 nor 1.

    A share counts as 1 - |2 up - 1|^exponent; the exponent falls as the run proceeds.

    Args:
        up: shares, 0..1.
        progress: of the run, 0..1.
    """
    if progress < FREE:
        return torch.zeros_like(up)
    done = (progress - FREE) / (1 - FREE)
    exponent = SHARPEST + 0.5 * (WIDEST - SHARPEST) * (1 + math.cos(math.pi * done))
    away = 2 * up - 1
    return -2 * exponent * away.abs().pow(exponent - 1) * away.sign()
