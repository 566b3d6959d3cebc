"""The knapsack over what is known without any evaluation: the error of each layer's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant import LayerChoice, LayerFacts
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.surrogate.weight_error import Effects, weight_error

TERNARY_ERROR = 4.0 ** (2 - np.log2(3))
"""Squared error of three levels over that of four, at a factor 4 a bit."""
STOCHASTIC_ERROR = 2.0
"""Mean squared error of rounding up or down at random over that of rounding to the nearest."""


@dataclass(frozen=True, kw_only=True)
class KnapsackWeightError(Searcher):
    """Solve for the smallest sum of the layers' noise-to-signal ratios; it asks only once.

    Every layer counts the same whatever its size: noise relative to the signal is what adds up on
    the way to the outputs (Lin et al. 2016). On the shipped tables that is better than weighing
    by parameters, by their squares, or by multiply-accumulates.
    """

    name: ClassVar[str] = "knapsack-weight-error"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the knapsack's solution."""
        noise = noise_to_signal(session.feasible.decisions, session.feasible.options)
        session.ask_indices(solve_knapsack(noise, session.feasible).tolist())


def noise_to_signal(layers: Sequence[LayerFacts], options: Sequence[LayerChoice]) -> Effects:
    """Return the relative squared error of every option at every layer, weights and inputs."""
    return np.array([[_noise(facts, option) for option in options] for facts in layers])


def _noise(facts: LayerFacts, option: LayerChoice) -> float:
    error = weight_error(facts, option.arithmetic_bits)
    if option.method == "ternary":
        error *= TERNARY_ERROR
    elif option.rounding == "stochastic":
        error *= STOCHASTIC_ERROR
    if option.activation_bits is not None:  # inputs are taken to err like weights of that width
        error += weight_error(facts, option.activation_bits)
    return float(error)
