"""Intervals of the surrogate, beforehand."""

from __future__ import annotations

import numpy as np

from rlquant import QuantizationConfig, SearchSpace
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_experiments.real_networks.foresight import foresee

BITS, FLOAT_LOSS = (2, 3, 4, 6), 0.5


class Predicted(ToyProblem):
    """Losses are sums of the increases that are predicted, times factors that are not."""

    predicts, label_variance = True, 0.0

    def __init__(self, factors: tuple[float, ...]) -> None:
        self._factors = factors
        super().__init__(len(factors), 4.0, SearchSpace(bits=BITS), loss_of=self._loss)

    def _loss(self, config: QuantizationConfig) -> float:
        of_layers = (f * 4.0**-c.bits for f, c in zip(self._factors, config, strict=True))
        return self.float_score.loss + sum(of_layers)

    def expected_increases(self, draws: int, progress: object = None) -> np.ndarray:
        return np.tile(
            [4.0**-option.bits for option in self.feasible.options], (len(self.layers), 1)
        )

    def prediction_cost(self, draws: int) -> float:
        return 1.0


def test_sums_of_increases_are_foreseen_and_others_are_not() -> None:
    inside = []
    for factors in ((1.0,) * 8, (1.0,) * 4 + (30.0,) * 4):
        problem = Predicted(factors)
        history = search_problem(problem, searcher="random", evaluations=30).history
        found = foresee(problem, history, 30)
        assert found.foreseen == 24
        inside.append(found.within / found.foreseen)
    assert inside[0] == 1.0
    assert inside[1] < inside[0]


def test_without_increases_nothing_is_foreseen() -> None:
    problem = ToyProblem(4, 4.0)
    history = search_problem(problem, searcher="random", evaluations=10).history
    assert foresee(problem, history, 10) == (0, 0)
