"""Coefficients of the linearity theorem as sensitivities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from problems import problem
from rlquant import Budget, QuantizationProblem, SearchSpace
from rlquant.errors import SettingsError
from rlquant.objective import Regression
from rlquant.space import for_layer
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_experiments.baselines.knapsack_linearity import (
    KnapsackLinearity,
    linearity_coefficients,
    noise_increases,
    relative_errors,
)
from small_networks import trained


def small() -> QuantizationProblem:
    space = SearchSpace(bits=(2, 4, 8), points=("symmetric",))
    return problem("mlp", trained("mlp"), space=space, budget=Budget.average_bits(6))


def test_coefficients_are_least_squares_by_hand() -> None:
    """Of increases 2 t^2 it is 2; of (1, 3) at t^2 = (1, 2): (1 + 6) / (1 + 4)."""
    sizes = (1.0, math.sqrt(2.0))
    found = linearity_coefficients(sizes, np.array([[2.0, 4.0], [1.0, 3.0], [-1.0, -2.0]]))
    assert found.tolist() == pytest.approx([2.0, 1.4, 0.0])


def test_a_loss_that_is_not_finite_says_nothing() -> None:
    found = linearity_coefficients((0.1, 0.2), np.array([[0.02, math.inf], [math.nan, 0.04]]))
    assert np.isfinite(found).all()


def test_noise_raises_a_squared_error_by_what_theory_says() -> None:
    """Of outputs W x, independent noise of relative size t adds t^2 |W|^2 |x|^2 over W's size."""
    draw = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(40, 30, bias=False)).eval()
    network[0].weight.data = torch.randn(30, 40, generator=draw)
    inputs = torch.randn(60, 40, generator=draw)
    made = QuantizationProblem(
        network,
        (inputs, network(inputs).detach()),
        (inputs[:30] + 0.1, network(inputs[:30] + 0.1).detach()),
        budget=Budget.average_bits(8),
        space=SearchSpace(bits=(2, 4), points=("symmetric",)),
        objective=Regression(),
    )
    (increases,) = noise_increases(made, made.calibration, (0.1, 0.2), seed=0)
    squares = float(network[0].weight.detach().square().sum())
    for size, increase in zip((0.1, 0.2), increases, strict=True):
        of_outputs = size**2 * squares * float(inputs.square().sum(dim=1).mean()) / (30 * 40)
        assert increase == pytest.approx(of_outputs, rel=0.15)


def test_relative_errors_are_those_of_the_weights() -> None:
    made = small()
    found = relative_errors(made)
    weight = made.network.get_submodule("second").weight.detach()
    for column, option in enumerate(made.feasible.options):
        values = made.evaluator.bank.values(for_layer(option, "second"))
        expected = float((values - weight).square().sum() / weight.square().sum())
        assert found[1, column] == pytest.approx(expected, rel=1e-4)
    assert (np.diff(found, axis=1) < 0).all()  # the more bits, the less


def test_it_asks_once_and_its_passes_count() -> None:
    result = search_problem(small(), searcher="knapsack-linearity", evaluations=10)
    assert (len(result.history), result.history[0].feasible) == (1, True)
    (note,) = (note for note in result.notes if note.startswith("noise in 3 layers"))
    assert note.endswith("which count as asked for")
    again = search_problem(small(), searcher="knapsack-linearity", evaluations=10)
    assert again.best == result.best


def test_one_evaluation_is_for_the_answer() -> None:
    result = search_problem(small(), searcher="knapsack-linearity", evaluations=1)
    assert result.history[0].feasible


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((), "give at least one"), ((0.0,), "use numbers above 0"), ((1,), "use numbers above 0")],
)
def test_sizes_that_are_no_noise_are_refused(sizes: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        KnapsackLinearity(sizes=sizes)


def test_a_problem_without_a_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="needs a network"):
        search_problem(ToyProblem(2), searcher="knapsack-linearity", evaluations=5)
