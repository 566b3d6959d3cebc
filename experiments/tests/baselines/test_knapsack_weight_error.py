"""The knapsack over weight errors: what counts as noise, and that it asks once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rlquant.config import LayerChoice
from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_experiments.baselines.knapsack_weight_error import noise_to_signal

FACTS = replace(
    ToyProblem(1).layers[0], relative_error=(0.16, 0.04, 0.01, 0.0025, 0.001, 0.0005, 0.0001)
)


@pytest.mark.parametrize(
    ("option", "noise"),
    [
        (LayerChoice("", 3), 0.04),
        (LayerChoice("", 2), 0.16),
        (LayerChoice("", 1), 0.64),  # a factor 4 a bit beyond what is known
        (LayerChoice("", 3, rounding="stochastic"), 0.08),
        (LayerChoice("", 2, method="ternary"), 0.16 * 16 / 9),  # 4 levels over 3, squared
        (LayerChoice("", 3, activation_bits=4), 0.05),
    ],
)
def test_the_noise_of_an_option(option: LayerChoice, noise: float) -> None:
    assert noise_to_signal([FACTS], [option]) == pytest.approx(noise)


def test_kept_layers_have_next_to_none() -> None:
    kept = LayerChoice("", 32, method="float")
    assert 0 <= noise_to_signal([FACTS], [kept])[0, 0] < 1e-12


def test_it_asks_once_whatever_it_may_spend() -> None:
    problem = ToyProblem(4, 4.0)
    result = make_searcher("knapsack-weight-error").search(problem, 100, seed=0)
    assert (len(result.history), result.stopped) == (1, "finished")
    assert result.history[0].feasible
    # all layers have the same errors: the largest gets the fewest bits
    bits = [choice.bits for choice in result.best]
    assert bits[3] == min(bits)
    assert bits[0] == max(bits)
