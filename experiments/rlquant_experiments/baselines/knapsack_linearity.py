"""The knapsack over relative errors of the weights, by coefficients that noise in them gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from rlquant import Problem
from rlquant.copying.network_copy import shared_copy
from rlquant.errors import SettingsError
from rlquant.evaluation.measure import run_batches, with_targets
from rlquant.problem.protocol import Live, Refines
from rlquant.quantizers.rounding import layer_generator
from rlquant.samples import Samples
from rlquant.weight_sites import site_of
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.surrogate.weight_error import Effects
from rlquant_experiments.baselines.quantized_weights import squared_errors, weight_of

Floats = npt.NDArray[np.float64]

SHARE = 1 / 2
"""Of the evaluations, what noise may cost at most."""


@dataclass(frozen=True, kw_only=True)
class KnapsackLinearity(Searcher):
    """Solve for the smallest sum of expected increases by the linearity theorem; it asks only once.

    Small relative errors of the layers' weights raise the loss by the sum of alpha times their
    squares (HIGGS). Alpha of a layer is fitted to the losses that Gaussian noise of a few relative
    sizes in its weights gives, on as many calibration samples as `SHARE` of the evaluations
    affords; those passes count as evaluations.

    Attributes:
        sizes: norms of the noise over that of the weights.

    Source: Malinovskii et al. 2024, "Pushing the Limits of Large Language Model Quantization via
    the Linearity Theorem".
    """

    name: ClassVar[str] = "knapsack-linearity"

    sizes: tuple[float, ...] = (0.1, 0.2)

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes:
            if not isinstance(size, float) or not 0.0 < size < math.inf:
                raise SettingsError(
                    f"searcher {self.name!r}: sizes={self.sizes!r}, use numbers above 0 such as 0.1"
                )
        if not self.sizes:
            raise SettingsError(f"searcher {self.name!r}: sizes=(), give at least one")

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` where there are no weights to put noise into."""
        if not isinstance(problem, Refines):
            raise SettingsError(
                f"searcher {self.name!r} needs a network, and a {type(problem).__name__} has none; "
                f"give a QuantizationProblem, or search with 'knapsack-weight-error'"
            )

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the knapsack's solution."""
        problem = session.problem
        assert isinstance(problem, Refines)
        passes = 1 + len(problem.layers) * len(self.sizes)
        sample_passes = SHARE * session.remaining * len(problem.validation)
        samples = problem.calibration.first(max(1, int(sample_passes / passes)))
        session.charge(
            passes * len(samples) / len(problem.validation),
            f"noise in {len(problem.layers)} layers, on {len(samples)} calibration samples",
        )
        increases = noise_increases(problem, samples, self.sizes, seed)
        alphas = linearity_coefficients(self.sizes, increases)
        effects = session.feasible.summed(alphas[:, None] * relative_errors(problem))
        session.ask_indices(solve_knapsack(effects, session.feasible).tolist())


def noise_increases(problem: Live, samples: Samples, sizes: Sequence[float], seed: int) -> Floats:
    """Return by how much noise in the weights of one layer raises the loss.

    Args:
        problem: a network and its layers.
        samples: that losses are means over.
        sizes: norms of the noise over that of the weights.
        seed: of the noise, together with the layer's name.

    Returns:
        Shape `(layers, sizes)`.
    """
    network, objective = shared_copy(problem.network), problem.objective
    assert problem.evaluation.batch_size is not None  # a problem decides it
    parts = samples.batches(problem.evaluation.batch_size)
    batches = with_targets(network, parts, objective)
    base = run_batches(network, batches, objective).loss
    found = np.zeros((len(problem.layers), len(sizes)))
    for row, facts in enumerate(problem.layers):
        weight = site_of(network, facts.name).weight_in(network)
        own, draw = weight.detach(), layer_generator(seed, facts.name)
        for column, size in enumerate(sizes):
            noise = torch.randn(own.shape, generator=draw).to(own)
            weight.data = own + noise * (size * own.norm() / noise.norm())
            found[row, column] = run_batches(network, batches, objective).loss - base
        weight.data = own
    return found


def linearity_coefficients(sizes: Sequence[float], increases: Floats) -> Floats:
    """Return each layer's alpha: least squares of its increases by the squared sizes, at least 0.

    Args:
        sizes: of the noise.
        increases: shape `(layers, sizes)`; one that is not finite counts as 0.

    Returns:
        Shape `(layers,)`.
    """
    squares = np.square(sizes)
    finite = np.where(np.isfinite(increases), increases, 0.0)
    alphas: Floats = np.maximum(finite @ squares / (squares @ squares), 0.0)
    return alphas


def relative_errors(problem: Live) -> Effects:
    """Return the squared error of each option's weights over the weights' own squares.

    Returns:
        Shape `(layers, options)`.
    """
    own = {f.name: weight_of(problem.network, f.name).float() for f in problem.layers}
    norms = {name: max(float(weight.square().sum()), 1e-30) for name, weight in own.items()}
    return squared_errors(
        problem, lambda layer, error: float(error.float().square().sum()) / norms[layer]
    )
