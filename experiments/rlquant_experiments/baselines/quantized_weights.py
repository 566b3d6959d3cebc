"""The weights of a problem's layers, quantized by each of its options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from torch import Tensor, nn

from rlquant.config import LayerChoice
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.weight_bank import WeightBank
from rlquant.layers import modules_of
from rlquant.network.hessians import output_hessian
from rlquant.problem.protocol import Live, Refines
from rlquant.space import for_layer
from rlquant.weight_sites import site_of
from rlquant_agents.surrogate.weight_error import Effects, weight_error


def quantized_by(problem: Live) -> Callable[[LayerChoice], Tensor]:
    """Return what gives the dequantized weight of a choice: the evaluator's own where it has them.

    So nothing is quantized twice that is evaluated later.
    """
    if isinstance(problem, Refines) and isinstance(problem.evaluator, Evaluator):
        return problem.evaluator.bank.values
    network, layers = problem.network, problem.layers
    weights = {facts.name: weight_of(network, facts.name) for facts in layers}
    hessians = partial(output_hessian, network, modules_of(layers), problem.calibration)
    return WeightBank(weights, layers, problem.seed, moments=hessians).values


def squared_errors(problem: Live, measure: Callable[[str, Tensor], float]) -> Effects:
    """Return what each option's error of the weights amounts to, shape `(layers, options)`.

    Args:
        problem: has weights and options; an option that a layer does not have counts 0.
        measure: of a layer and an error of its weights, a quadratic form. It is also asked for the
            weights themselves where inputs are quantized: those are taken to err like weights.
    """
    quantized, own = quantized_by(problem), problem.feasible.layer_own
    found = np.zeros((len(problem.layers), len(problem.feasible.options)))
    for row, facts in enumerate(problem.layers):
        weight = weight_of(problem.network, facts.name)
        for column, option in _options(problem):
            if own[row, column]:
                error = quantized(for_layer(option, facts.name)).float() - weight.float()
                found[row, column] = measure(facts.name, error)
            if option.activation_bits is not None:
                inputs = weight_error(facts, option.activation_bits)
                found[row, column] += measure(facts.name, weight) * inputs
    return found


def weight_of(network: nn.Module, layer: str) -> Tensor:
    """Return a layer's float weight, without its history."""
    return site_of(network, layer).weight_in(network).detach()


def _options(problem: Live) -> Iterator[tuple[int, LayerChoice]]:
    for number, option in enumerate(problem.feasible.options):
        if option.method != "float":
            yield number, option
