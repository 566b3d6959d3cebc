"""Expected increase of the loss by each option at each layer, to second order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.evaluation.packed_weight import PackedWeight
from rlquant.evaluation.process_memory import close_gaps
from rlquant.sensitivity.anchors import filled
from rlquant.sensitivity.plan import IncreasePlan
from rlquant.sensitivity.progress import Progress, counted
from rlquant.sensitivity.sampled_gradients import GradientSampler

Floats = npt.NDArray[np.float64]
QUANTIZING, GRADIENTS = "quantizing weights", "taking gradients"
"""Stages that progress is told of."""


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Errors of a layer's weights, made of the codes each time: these take an eighth of them."""

    weight: Tensor
    quantized: tuple[PackedWeight, ...]

    def products(self, gradient: Tensor) -> Tensor:
        """Return the product of each error with a gradient, float64, shape `(choices,)`."""
        flat = gradient.float().flatten()
        found = [error.flatten() @ flat for error in self._errors()]
        return torch.stack(found).double()

    def _errors(self) -> Iterator[Tensor]:
        for packed in self.quantized:
            values = packed.unpacked().dequantize().to(self.weight.dtype).float()
            yield values.sub_(self.weight)


def expected_increases(
    plan: IncreasePlan,
    weights: Mapping[str, Tensor],
    quantized: Callable[[LayerChoice], PackedWeight],
    sampler: GradientSampler,
    most: int,
    progress: Progress,
) -> Floats:
    """Return two estimates of how much each option at each layer alone raises the loss.

    Half the quadratic form of the weight errors in the Gauss-Newton matrix (of a likelihood the
    Fisher information) of a whole layer, with all that its weights, positions and tokens have in
    common; that is the mean of squared products of sampled gradients and errors. Traces and
    diagonals, such as those of HAWQ-V2 (Dong et al. 2020), leave that out.

    Args:
        plan: which options are quantized where.
        weights: float weight of each layer.
        quantized: gives the quantized weight of a choice.
        sampler: of two gradients and more.
        most: bytes of codes that are held at a time; gradients are taken once for each such part.
            The result does not depend on it.
        progress: told how many weights are quantized and gradients are taken.

    Returns:
        Two estimates, of every other draw each, shape `(2, layers, options)`; for the mean loss of
        a unit; 0 where a layer lacks an option.
    """
    names, chunks = list(plan.counts), list(plan.chunks(most))
    found = np.full((2, len(names), plan.options), np.nan)
    quantizing = counted(progress, QUANTIZING, plan.pairs)
    drawing = counted(progress, GRADIENTS, sampler.draws * len(chunks))
    progress(QUANTIZING, 0, plan.pairs)  # the first one has layer Hessians measured
    for chunk in chunks:
        errors: dict[str, _Errors] = {}
        for name in chunk:
            packed = []
            for choice in plan.choices[name].values():
                packed.append(quantized(choice))
                quantizing()
            errors[name] = _Errors(weights[name], tuple(packed))
        close_gaps()  # that quantizing left
        for name, increases in _increases(errors, sampler, drawing).items():
            found[:, names.index(name), list(plan.choices[name])] = increases.numpy()
        del errors
        close_gaps()
    return np.stack([filled(half, plan.profiles) for half in found])


def _increases(
    errors: Mapping[str, _Errors], sampler: GradientSampler, drawn: Callable[[], None]
) -> dict[str, Tensor]:
    asked = {name: found for name, found in errors.items() if found.quantized}
    sums = {n: torch.zeros(2, len(e.quantized), dtype=torch.float64) for n, e in asked.items()}
    units = torch.zeros(2, 1, dtype=torch.float64)
    half = 0

    def add(name: str, gradient: Tensor) -> None:
        sums[name][half] += asked[name].products(gradient).square().cpu()

    for more in sampler.sample(list(asked), add):
        units[half] += more
        half = 1 - half
        drawn()
    return {name: total / (2 * units) for name, total in sums.items()}
