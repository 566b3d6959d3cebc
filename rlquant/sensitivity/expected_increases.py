"""Expected increase of the loss by each option at each layer, to second order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.sensitivity.sampled_gradients import GradientSampler, chunks_within

Floats = npt.NDArray[np.float64]
Choices = Mapping[str, Mapping[int, LayerChoice]]
"""By layer, the options whose increase is wanted, by their number."""
ERROR_BYTES = 2**30
"""Of weight errors that are held at a time; the network is run once for each such part."""


def expected_increases(
    weights: Mapping[str, Tensor],
    choices: Choices,
    quantized: Callable[[LayerChoice], Tensor],
    sampler: GradientSampler,
    options: int,
    error_bytes: int = ERROR_BYTES,
) -> Floats:
    """Return by how much each option at each layer alone is expected to raise the loss.

    Half the quadratic form of the weight errors in the Gauss-Newton matrix (of a likelihood the
    Fisher information) of a whole layer, with all that its weights, positions and tokens have in
    common; that is the mean of squared products of sampled gradients and errors. Traces and
    diagonals, such as those of HAWQ-V2 (Dong et al. 2020), leave that out.

    Args:
        weights: float weight of each layer, in execution order.
        choices: which options are wanted.
        quantized: gives the dequantized weight of a choice.
        sampler: of gradients.
        options: columns of the result.
        error_bytes: see `ERROR_BYTES`.

    Returns:
        Shape `(layers, options)`, for the mean loss of a unit; NaN where nothing was wanted.
    """
    names = list(weights)
    found = np.full((len(names), options), np.nan)
    sizes = {n: weights[n].numel() * 4 * len(choices[n]) for n in names}
    for chunk in chunks_within(sizes, error_bytes):
        errors = {n: _errors(weights[n], choices[n].values(), quantized) for n in chunk}
        for name, increases in _increases(errors, sampler).items():
            found[names.index(name), list(choices[name])] = increases.numpy()
    return found


def _errors(
    weight: Tensor, choices: Iterable[LayerChoice], quantized: Callable[[LayerChoice], Tensor]
) -> Tensor:
    """Return the errors of a layer's weights, float32, shape `(choices, weights)`."""
    rows = [(quantized(choice).float() - weight.float()).flatten() for choice in choices]
    return torch.stack(rows) if rows else weight.new_zeros(0, weight.numel(), dtype=torch.float32)


def _increases(errors: Mapping[str, Tensor], sampler: GradientSampler) -> dict[str, Tensor]:
    sums = {name: torch.zeros(len(rows), dtype=torch.float64) for name, rows in errors.items()}
    units = 0
    for drawn in sampler.sample(list(errors)):
        units += drawn.units
        for name, gradient in drawn.by_layer.items():
            products = errors[name] @ gradient.float().flatten()
            sums[name] += products.double().square().cpu()
    return {name: total / (2 * units) for name, total in sums.items()}
