"""Errors of the layers' outputs as sensitivities."""

from __future__ import annotations

import pytest
import torch

from problems import problem
from rlquant import Budget, QuantizationProblem, SearchSpace
from rlquant.errors import SettingsError
from rlquant.space import for_layer
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_experiments.baselines.knapsack_output_error import output_errors
from small_networks import trained


def small() -> QuantizationProblem:
    space = SearchSpace(bits=(2, 4, 8), points=("symmetric",))
    return problem("mlp", trained("mlp"), space=space, budget=Budget.average_bits(6))


def test_an_error_is_that_of_the_outputs_over_the_outputs() -> None:
    live = small()
    network, inputs = live.network, live.calibration.inputs[0]
    effects = output_errors(live)
    with torch.no_grad():
        hidden = torch.relu(network.first(inputs))
    for column, option in enumerate(live.feasible.options):
        choice = for_layer(option, "second")
        quantized = live.evaluator.bank.values(choice)
        weight = network.second.weight.detach()
        error = (hidden @ (quantized - weight).T).square().sum()
        signal = (hidden @ weight.T).square().sum()
        assert effects[1, column] == pytest.approx(float(error / signal), rel=1e-3)


def test_it_asks_once_within_the_budget() -> None:
    result = search_problem(small(), searcher="knapsack-output-error", evaluations=5)
    assert (len(result.history), result.history[0].feasible) == (1, True)


def test_a_problem_without_a_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="needs the inputs of a network's layers"):
        search_problem(ToyProblem(2), searcher="knapsack-output-error", evaluations=5)
