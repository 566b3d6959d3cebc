"""One-layer effects and measured interactions of pairs, as a quadratic programme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant.cost.feasible import Indices
from rlquant.probing.option_correlation import exponential_correlation
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.search.uniform import uniform_row
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.searchers.sensitivity import measure_effects, reference_option
from rlquant_agents.surrogate.acquisition import BestPrediction
from rlquant_agents.surrogate.effects_surrogate import EffectsPrior, Floats
from rlquant_agents.surrogate.kernel import MANY_LAYERS
from rlquant_agents.surrogate.observations import Observations
from rlquant_agents.surrogate.weight_error import Effects

CERTAIN = 0.3
"""Effects are uncertain by so much, over what configurations differ by, however small they are."""


@dataclass(frozen=True, kw_only=True)
class Pairwise(Searcher):
    """Measure layers alone and in pairs, minimise the quadratic model, measure, fit it again.

    After CLADO (Deng et al. 2023), which measures all pairs. Here the pairs come first that the
    knapsack over single effects would quantize hardest, at the options that it chose, as far as
    `pair_share` reaches; other options of a pair follow in proportion to their own effects. The
    programme is solved exactly where the feasible set can be looked through, see `BestPrediction`.

    Attributes:
        pair_share: share of what the one-layer pass leaves that pairs may take.
        freedom: by which share a measured effect may be wrong near the budget.
        interaction: what two layers may add together, over the product of their freedoms.
        noise: what the quadratic model is taken to miss, over what configurations differ by.
    """

    name: ClassVar[str] = "pairwise"

    pair_share: float = 0.1
    freedom: float = 0.5
    interaction: float = 0.5
    noise: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_number("pair_share", least=0.0, most=1.0)
        self.require_number("freedom", "noise", above=0.0)
        self.require_number("interaction", least=0.0)

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the effects, the knapsack's solution, pairs, then for the best predicted."""
        generator = np.random.default_rng(seed)
        feasible = session.feasible
        effects = measure_effects(session)
        solution = solve_knapsack(effects, feasible)
        session.ask_indices(solution.tolist())
        session.ask_rows([row.tolist() for row in self._pairs(session, effects, solution)])
        observed = Observations(session, partial=False)
        prediction = BestPrediction(feasible, observed, generator)
        correlation = exponential_correlation(feasible.options)
        while True:
            rows: list[Indices] = []
            best = observed.best(feasible.limit)
            if best is not None:
                prior = self._prior(effects / observed.spread, correlation)
                rows = prediction.find_several(prior.fit(observed).predict, best[0], session.batch)
            if not rows:
                rows = [feasible.sample(generator) for _ in range(session.batch)]
            session.ask_rows([row.tolist() for row in rows])
            observed.update()

    def _pairs(self, session: Session, effects: Effects, solution: Indices) -> list[Indices]:
        """Return the pairs that are measured, and say how many of all they are."""
        layers, count = len(solution), int(self.pair_share * session.remaining)
        if layers > MANY_LAYERS:
            session.say(
                f"pairwise measures {count} of {layers * (layers - 1) // 2} pairs, those first "
                f"that the knapsack over single effects quantizes hardest"
            )
        return pairs_that_matter(session, effects, solution, count)

    def _prior(self, effects: Effects, correlation: Floats) -> EffectsPrior:
        """Return what the effects say; what does much may also be wrong by much."""
        deviations = self.freedom * (np.abs(effects) + CERTAIN)
        return EffectsPrior(effects, deviations, correlation, self.interaction, self.noise)


def pairs_that_matter(
    session: Session, effects: Effects, solution: Indices, count: int
) -> list[Indices]:
    """Return configurations with two layers at the solution's options, the others at the widest.

    The pair whose effects have the largest product comes first, and `count` at most.
    """
    feasible = session.feasible
    base = uniform_row(feasible, reference_option(feasible.options, session.space))
    alone = np.abs(effects[np.arange(len(solution)), solution])
    first, second = np.triu_indices(len(solution), k=1)
    order = np.argsort(-(alone[first] * alone[second]), kind="stable")[:count]
    found = []
    for pair in zip(first[order], second[order], strict=True):
        indices = base.copy()
        indices[list(pair)] = solution[list(pair)]
        found.append(indices)
    return found
