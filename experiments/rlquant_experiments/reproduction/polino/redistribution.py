"""Points moved from the layers that matter little to those that matter much, before DQ trains them.

It is the number of points that moves, not that of bits; the search of this library chooses bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from rlquant.copying.network_copy import copy_network
from rlquant.errors import SettingsError
from rlquant.quantizers.codebook import MOST_POINTS
from rlquant.samples import Samples

FEWEST_POINTS = 2
BATCHES = 5
"""Mini-batches over which gradients are looked at."""


def redistribute(points: Sequence[int], norms: Sequence[float]) -> tuple[int, ...]:
    """Return the new number of points of each tensor; their sum stays.

    Each tensor keeps half of its points (rounded down) and the freed ones are shared in
    proportion to the norms. What rounding makes too many is taken from the largest, what it makes
    too few is given to the smallest, one at a time. No tensor has fewer than two points, which
    the released code allows.

    Args:
        points: of each tensor, at least 2.
        norms: of each tensor's gradient, 0 or more, not all 0.

    Raises:
        SettingsError: arguments outside their range.

    Source: Polino et al. 2018, "Differentiable quantization", and the code released with it.
    """
    total = sum(norms)
    if len(points) != len(norms) or min(points) < FEWEST_POINTS or min(norms) < 0 or not total > 0:
        raise SettingsError(
            f"points={list(points)} and norms={list(norms)}: give as many norms as tensors, none "
            f"below 0 and one above, and at least {FEWEST_POINTS} points each"
        )
    kept = [count // 2 for count in points]
    freed = sum(points) - sum(kept)
    shares = [k + round(freed * norm / total) for k, norm in zip(kept, norms, strict=True)]
    counts = [min(max(share, FEWEST_POINTS), MOST_POINTS) for share in shares]
    while (surplus := sum(counts) - sum(points)) != 0:
        extreme = max(counts) if surplus > 0 else min(counts)
        counts[counts.index(extreme)] -= 1 if surplus > 0 else -1
    return tuple(counts)


def gradient_norms(
    network: nn.Module, layers: Sequence[str], samples: Samples, batch_size: int
) -> Mapping[str, float]:
    """Return the mean 2-norm of the gradient of each layer's weight, over five mini-batches.

    Args:
        network: float, trained; run in eval mode, left as it is.
        layers: whose weights.
        samples: the first five batches of them are used, and their labels.
        batch_size: samples of a batch.
    """
    copied = copy_network(network)
    weights = [copied.get_parameter(f"{layer}.weight").requires_grad_() for layer in layers]
    batches = samples.batches(batch_size)[:BATCHES]
    sums = dict.fromkeys(layers, 0.0)
    for batch in batches:
        loss = cross_entropy(copied(*batch.inputs), batch.targets)
        for layer, gradient in zip(layers, torch.autograd.grad(loss, weights), strict=True):
            sums[layer] += float(gradient.norm()) / len(batches)
    return sums
