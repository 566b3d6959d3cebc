"""Expected increase of the loss by each option at each layer, to second order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.sensitivity.sampled_gradients import GradientSampler, chunks_within

Floats = npt.NDArray[np.float64]
Choices = Mapping[str, Mapping[int, LayerChoice]]
"""By layer, the options whose increase is wanted, by their number."""
ERROR_BYTES = 2**31
"""Of weight errors that are held at a time; gradients are taken once for each such part."""
BYTES = 2
"""Of an error that is held."""


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Errors of a layer's weights in float16, as shares of their largest.

    Attributes:
        rows: shape `(choices, weights)`.
        largest: of each choice, shape `(choices,)`.
    """

    rows: Tensor
    largest: Tensor

    @classmethod
    def of(
        cls, weight: Tensor, choices: Iterable[LayerChoice], quantized: Callable[..., Tensor]
    ) -> _Errors:
        """Quantize a weight by some choices."""
        rows, largest = [], []
        for choice in choices:
            error = (quantized(choice).float() - weight.float()).flatten()
            largest.append(error.abs().max().clamp_min(torch.finfo(torch.float32).tiny))
            rows.append((error / largest[-1]).half())
        if not rows:
            return cls(weight.new_zeros(0, weight.numel()), weight.new_zeros(0))
        return cls(torch.stack(rows), torch.stack(largest))

    def products(self, gradient: Tensor) -> Tensor:
        """Return the product of each error with a gradient, shape `(choices,)`."""
        flat = gradient.float().flatten()
        found = [row.float() @ flat for row in self.rows]
        return torch.stack(found) * self.largest if found else self.largest


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
    sizes = {n: weights[n].numel() * BYTES * len(choices[n]) for n in names}
    for chunk in chunks_within(sizes, error_bytes):
        errors = {n: _Errors.of(weights[n], choices[n].values(), quantized) for n in chunk}
        for name, increases in _increases(errors, sampler).items():
            found[names.index(name), list(choices[name])] = increases.numpy()
    return found


def _increases(errors: Mapping[str, _Errors], sampler: GradientSampler) -> dict[str, Tensor]:
    sums = {
        name: torch.zeros(len(found.rows), dtype=torch.float64) for name, found in errors.items()
    }
    units = 0
    for drawn in sampler.sample(list(errors)):
        units += drawn.units
        for name, gradient in drawn.by_layer.items():
            sums[name] += errors[name].products(gradient).double().square().cpu()
    return {name: total / (2 * units) for name, total in sums.items()}
