"""One effect per layer and option, fitted to whole configurations, and the knapsack over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant import FeasibleSet
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.damage_model import DamagePrior, Measured, similarity
from rlquant_agents.surrogate.promising import Promising

FREEDOM = 1.0
"""How far effects may lie from nothing, in units of what the configurations differ by."""


@dataclass(frozen=True, kw_only=True)
class FittedKnapsack(Searcher):
    """Draw configurations, fit a sum of effects, ask for the best of that sum, and fit again.

    Linear regression on random configurations needs no network wider than the budget allows; the
    model is measured where it claims to be best and corrected there. Ridge regression (Hoerl and
    Kennard 1970) in which similar options have similar effects.

    Attributes:
        start: share of the evaluations that are drawn at random first.
        explore_share: share of the later ones that are.
        noise: what a sum of effects is taken to miss, over what the configurations differ by.
    """

    name: ClassVar[str] = "fitted-knapsack"

    start: float = 0.15
    explore_share: float = 0.1
    noise: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_number("start", "explore_share", least=0.0, most=1.0)
        self.require_number("noise", above=0.0)

    def explore(self, session: Session, seed: int) -> None:
        """Ask for random configurations, then for the best predicted ones."""
        generator = np.random.default_rng(seed)
        promising = Promising(session.feasible, generator)
        measured = Measured(session)
        prior = self._prior(session.feasible)
        while True:
            drawn = len(session.history) < self.start * session.evaluations
            row = None
            if measured and not drawn and generator.random() >= self.explore_share:
                row = promising.best(prior.fitted(measured).predict, measured.best)
            if row is None:
                row = session.feasible.sample(generator)
            if session.recall(row.tolist()) is None:
                measured.add(session.ask_indices(row.tolist()))
                promising.forget(row)
            else:
                session.ask_indices(row.tolist())

    def _prior(self, feasible: FeasibleSet) -> DamagePrior:
        shape = feasible.costs.shape
        alike = similarity(feasible.options)
        return DamagePrior(np.zeros(shape), np.full(shape, FREEDOM), alike, 0.0, self.noise)
