"""First answers of expected increases: their knapsack, and a second of a dominant decision."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant.config import LayerChoice
from rlquant.cost.budget import Budget
from rlquant.cost.feasible import FeasibleSet
from rlquant.layers import LayerFacts
from rlquant_agents.searchers.expected_increases import first_answers
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.surrogate.weight_error import Effects

OPTIONS = (LayerChoice("", 2), LayerChoice("", 4))


class Bits:
    """Every layer pays its bits."""

    fixed = 0

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        return choice.bits

    def units(self, limit: float) -> int:
        return int(limit)

    def value(self, units: int) -> float:
        return float(units)


def half_at_two_bits(at_two_bits: tuple[float, ...]) -> tuple[FeasibleSet, Effects]:
    """Return layers of one size, half of which fit with 4 bits, and what 2 bits cost them."""
    count = len(at_two_bits)
    layers = [LayerFacts(f"layer{i}", "linear", (1, 1), 1, 1) for i in range(count)]
    increases = np.stack([np.array(at_two_bits), np.zeros(count)], axis=1)
    return FeasibleSet(layers, OPTIONS, Bits(), Budget.bops(3 * count)), increases


def test_a_dominant_decision_has_another_option_in_the_second_answer() -> None:
    feasible, increases = half_at_two_bits((0.31, 0.32, 0.33, 0.9))
    answers = first_answers(increases, feasible)
    bits = [[OPTIONS[number].bits for number in row] for row in answers.tolist()]
    assert bits == [[2, 2, 4, 4], [2, 4, 2, 4]]  # 0.32 of 0.63, which doubled is above 0.33
    assert all(feasible.spent(row) <= feasible.limit for row in answers)


@pytest.mark.parametrize(
    "at_two_bits",
    [
        (0.1, 0.1, 0.9, 0.9),  # half of the sum each, but doubled still the least
        (1.0,) * 10,  # a fifth of the sum each
    ],
)
def test_where_no_other_option_follows_there_is_one_answer(at_two_bits: tuple[float, ...]) -> None:
    feasible, increases = half_at_two_bits(at_two_bits)
    (answer,) = first_answers(increases, feasible)
    assert (answer == solve_knapsack(increases, feasible)).all()
