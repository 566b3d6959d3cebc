"""One effect per layer and option, fitted to whole configurations, and the knapsack over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant import FeasibleSet
from rlquant.probing.option_correlation import exponential_correlation
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.acquisition import BestPrediction
from rlquant_agents.surrogate.effects_surrogate import EffectsPrior
from rlquant_agents.surrogate.observations import Observations

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
        observed = Observations(session, partial=False)
        prediction = BestPrediction(session.feasible, observed, generator)
        prior = self._prior(session.feasible)
        while True:
            drawn = len(session.history) < self.start * session.evaluations
            row, best = None, observed.best(session.feasible.limit)
            if best is not None and not drawn and generator.random() >= self.explore_share:
                row = prediction.find(prior.fit(observed).predict, best[0])
            if row is None:
                row = session.feasible.sample(generator)
            session.ask_indices(row.tolist())
            observed.update()

    def _prior(self, feasible: FeasibleSet) -> EffectsPrior:
        shape = feasible.costs.shape
        correlation = exponential_correlation(feasible.options)
        return EffectsPrior(np.zeros(shape), np.full(shape, FREEDOM), correlation, 0.0, self.noise)
