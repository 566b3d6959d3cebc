"""The knapsack over what gradients of the float network say about each quantization error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rlquant import Classification, Problem
from rlquant.copying.network_copy import copy_network
from rlquant.errors import DataError, SettingsError
from rlquant.forward_pass import outputs_of, run
from rlquant.network.gradients import require_gradients
from rlquant.objective import Curved
from rlquant.problem.protocol import Live
from rlquant.samples import Samples
from rlquant.sensitivity.sampled_gradients import GradientSampler, Take
from rlquant.weight_sites import site_of
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.surrogate.weight_error import Effects
from rlquant_experiments.baselines.quantized_weights import squared_errors


@dataclass(frozen=True, kw_only=True)
class KnapsackFisher(Searcher):
    """Solve for the smallest sum of errors weighed by the Fisher information; it asks only once.

    To second order an error of the weights raises the loss by half its square in the Hessian. As in
    HAWQ-V2 (Dong et al. 2020) that is the mean of the layer's trace times the squared error; the
    Fisher information stands for the Hessian, as in FIT (Zandonati et al. 2023). With the whole
    Fisher matrix in place of its trace, the solutions were worse on the shipped digits networks.

    The gradients are those of calibration samples, never of validation ones. Labels are drawn from
    the float network's answers, which is what the Fisher information is, see `Curved`; functions as
    objectives take the samples' own targets.

    Attributes:
        samples: at most so many calibration samples, one backward pass each.
    """

    name: ClassVar[str] = "knapsack-fisher"

    samples: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "samples")

    def check(self, problem: Problem) -> None:
        """Raise where there are no gradients to take.

        Raises:
            SettingsError: a problem without a network.
            NetworkError, SettingsError: see `require_gradients`.
        """
        if not isinstance(problem, Live):
            raise SettingsError(
                f"searcher {self.name!r} needs the gradients of a network, and a "
                f"{type(problem).__name__} has none; give a QuantizationProblem, or search with "
                f"'knapsack-weight-error'"
            )
        names = [facts.name for facts in problem.layers]
        few = problem.calibration.first(2)
        require_gradients(problem.network, names, few, problem.objective, f"searcher {self.name!r}")
        self._require_batches_of_one(problem)

    def _require_batches_of_one(self, problem: Live) -> None:
        one = problem.calibration.first(1)
        try:
            with torch.no_grad():
                outputs = outputs_of(copy_network(problem.network), one.inputs, "train_data")
            if isinstance(problem.objective, Classification):
                problem.objective.check(outputs, torch.zeros_like(one.targets))
        except DataError as error:
            raise SettingsError(
                f"searcher {self.name!r} takes the gradients of one sample at a time, and the "
                f"network does not take a batch of one ({str(error)[:200]}); search with "
                f"'knapsack-weight-error'"
            ) from error

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the knapsack's solution."""
        problem = session.problem
        assert isinstance(problem, Live)
        traces = fisher_traces(problem, problem.calibration.first(self.samples), seed)
        effects = session.feasible.summed(fisher_effects(problem, traces))
        session.ask_indices(solve_knapsack(effects, session.feasible).tolist())


def fisher_traces(problem: Live, samples: Samples, seed: int) -> dict[str, float]:
    """Return by layer the Fisher information's trace over its size: a mean squared gradient."""
    names = [facts.name for facts in problem.layers]
    sums = dict.fromkeys(names, 0.0)

    def add(name: str, gradient: Tensor) -> None:
        sums[name] += float(gradient.square().mean())

    if isinstance(problem.objective, Curved):
        _draw_gradients(problem, samples, seed, add)
    else:
        _own_gradients(problem, samples, add)
    return {name: total / len(samples) for name, total in sums.items()}


def _draw_gradients(problem: Live, samples: Samples, seed: int, take: Take) -> None:
    """Hand over gradients of the samples, whose labels are drawn of the float network's answers."""
    sampler = GradientSampler(problem.network, samples, problem.objective, {}, len(samples), seed)
    for _ in sampler.sample([facts.name for facts in problem.layers], take):
        pass


def _own_gradients(problem: Live, samples: Samples, take: Take) -> None:
    """Hand over gradients of the samples' own losses."""
    network = copy_network(problem.network)
    names = [facts.name for facts in problem.layers]
    weights = [site_of(network, name).weight_in(network).requires_grad_() for name in names]
    for sample in samples.batches(1):
        loss = problem.objective(run(network, sample.inputs), sample.targets)[0]
        for name, gradient in zip(names, torch.autograd.grad(loss, weights), strict=True):
            take(name, gradient)


def fisher_effects(problem: Live, traces: Mapping[str, float]) -> Effects:
    """Return the expected loss increase of each option at each layer, shape `(layers, options)`.

    Args:
        problem: has the weights, quantized as they will be.
        traces: by layer, the mean squared gradient of a weight: the Fisher's trace over its size.
    """
    return squared_errors(
        problem, lambda layer, error: traces[layer] * float(error.square().sum()) / 2
    )
