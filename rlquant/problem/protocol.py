"""The problem that searchers and environments know: layers, space, budget, and scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rlquant.config import Fidelity, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.cost.feasible import FeasibleSet
from rlquant.layers import LayerFacts
from rlquant.score import Score
from rlquant.space import SearchSpace


class Problem(Protocol):
    """What a searcher or an environment may know: a live network and a table look alike."""

    @property
    def layers(self) -> tuple[LayerFacts, ...]:
        """The searched layers in execution order."""

    @property
    def space(self) -> SearchSpace:
        """The options of every layer."""

    @property
    def budget(self) -> Budget:
        """The limit that results keep."""

    @property
    def seed(self) -> int:
        """The seed of the quantizers' draws."""

    @property
    def fidelity(self) -> Fidelity:
        """How far networks are trained before they are measured."""

    @property
    def feasible(self) -> FeasibleSet:
        """The configurations that keep the budget."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that a score depends on, budget not included."""

    @property
    def float_score(self) -> Score:
        """The score of the float network."""

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score any valid configuration, also one over the budget."""

    def evaluate_many(self, configs: Iterable[QuantizationConfig]) -> list[Score]:
        """Score several configurations, in the order given."""

    def with_budget(self, budget: Budget) -> Problem:
        """Return the same problem under another budget; scores are shared."""
