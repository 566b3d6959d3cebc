"""Learned rounding: GPTQ and AdaRound starts, then reinforcement and coordinate descent."""

from __future__ import annotations

import torch
from torch import Tensor

from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.adaround import relax
from rlquant.rounding.coordinate_descent import descend
from rlquant.rounding.factor import Factor
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.output_error import best_per_channel
from rlquant.rounding.reinforce import PolicySettings, learn_assignment

SWEEPS = 4
"""Of the coordinate descent behind each way; it ends earlier where nothing changes."""
FROM_A_START = PolicySettings(start=2.0, prior=4.0)
"""A policy that begins where the other ways ended."""


def learn(
    weight: Tensor,
    quantized: QuantizedTensor,
    moments: Tensor,
    generator: torch.Generator,
    factor: Factor | None = None,
) -> QuantizedTensor:
    """Assign weights by GPTQ and by relaxation, and learn from the better of the two.

    Coordinate descent follows each of them and the learned assignment. Every output channel keeps
    its best one, so that none is worse than nearest rounding, or than any of these ways.

    Args:
        weight: the float weight, output channels first.
        quantized: nearest rounding; its grid is kept.
        moments: of the layer's inputs, shape `(groups, fan_in, fan_in)`.
        generator: of the policy's draws.
        factor: of the moments, where it is known.

    Returns:
        The same grid with other codes.
    """

    def settled(assigned: QuantizedTensor) -> QuantizedTensor:
        return descend(weight, assigned, moments, sweeps=SWEEPS)

    ways = (feed_back(weight, quantized, moments, factor), relax(weight, quantized, moments))
    start = best_per_channel(weight, [quantized, *map(settled, ways)], moments)
    learned = learn_assignment(
        weight, quantized, moments, generator=generator, settings=FROM_A_START, start=start
    )
    return best_per_channel(weight, [start, settled(learned)], moments)
