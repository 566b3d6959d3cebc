"""The knapsack over the error that quantized weights make in the layers' outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rlquant import Problem
from rlquant.errors import SettingsError
from rlquant.layers import modules_of
from rlquant.network.hessians import measure_hessians
from rlquant.problem.protocol import Live
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.surrogate.weight_error import Effects
from rlquant_experiments.baselines.quantized_weights import squared_errors, weight_of


@dataclass(frozen=True, kw_only=True)
class KnapsackOutputError(Searcher):
    """Solve for the smallest sum of relative output errors; it asks only once.

    The error of a layer's outputs on calibration samples is tr(dW H dW^T) for an error dW of its
    weights and the second moments H of its inputs; relative is over tr(W H W^T). It is what an
    importance matrix is for (llama.cpp's), and what GPTQ minimises in each layer.
    """

    name: ClassVar[str] = "knapsack-output-error"

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` for a problem without a network."""
        if not isinstance(problem, Live):
            raise SettingsError(
                f"searcher {self.name!r} needs the inputs of a network's layers, and a "
                f"{type(problem).__name__} has none; give a QuantizationProblem, or search with "
                f"'knapsack-weight-error'"
            )

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the knapsack's solution."""
        problem = session.problem
        assert isinstance(problem, Live)
        effects = session.feasible.summed(output_errors(problem))
        session.ask_indices(solve_knapsack(effects, session.feasible).tolist())


def output_errors(problem: Live) -> Effects:
    """Return the relative output error of each option at each layer, shape `(layers, options)`.

    Layers without second moments, such as embeddings, err like their weights.
    """
    network = problem.network
    moments = measure_hessians(network, modules_of(problem.layers), problem.calibration)
    axes = {facts.name: facts.channel_axis for facts in problem.layers}

    def energy(layer: str, weight: Tensor) -> float:
        """Return tr(W H W^T), a group of channels for each of the moments."""
        if layer not in moments:
            return float(weight.float().square().sum())
        second = moments[layer].second.to(weight.dtype)
        rows = weight.movedim(axes[layer], 0).reshape(len(second), -1, second.shape[-1])
        return float(torch.einsum("gci,gij,gcj->", rows, second, rows))

    signals = {
        facts.name: max(energy(facts.name, weight_of(network, facts.name).float()), 1e-30)
        for facts in problem.layers
    }
    return squared_errors(problem, lambda layer, error: energy(layer, error) / signals[layer])
