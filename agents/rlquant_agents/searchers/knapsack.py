"""Measured sensitivities and an exact multiple-choice knapsack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, kron

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.refined_effects import RefinedEffects
from rlquant_agents.searchers.sensitivity import measure_effects
from rlquant_agents.searchers.uniform import ask_widest_uniforms
from rlquant_agents.surrogate.kernel import MANY_LAYERS
from rlquant_agents.surrogate.weight_error import Effects

RELATIVE_GAP = 1e-6
PRICE_STEPS, MOST_PRICE = 60, 1e12
"""Bisections of the price of a unit of the budget, and where the search for its bracket ends."""
MEASURED_BETWEEN = 8
"""Measurements between two solutions."""


def solve_knapsack(effects: Effects, feasible: FeasibleSet) -> Indices:
    """Return the feasible configuration with the smallest sum of effects.

    Exact with few layers; with many see `solve_by_price`.

    Args:
        effects: shape `(layers, options)`, smaller is better.
        feasible: costs and limit.
    """
    if len(feasible) > MANY_LAYERS:
        return solve_by_price(effects, feasible)
    layers, options = effects.shape
    one_each = kron(csr_array(np.eye(layers)), csr_array(np.ones((1, options))))
    room = feasible.limit - feasible.smallest
    excess = (feasible.costs - feasible.costs.min(axis=1, keepdims=True)).reshape(1, -1)
    scale = max(1, room)  # in shares of the room the solver's tolerances mean the same everywhere
    solution = milp(
        effects.reshape(-1),
        integrality=np.ones(layers * options),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(excess / scale, -np.inf, room / scale),
        ],
        options={"mip_rel_gap": RELATIVE_GAP},
    )
    chosen: Indices = solution.x.reshape(layers, options).argmax(axis=1)
    return feasible.repair(chosen)  # exact whatever the solver's tolerance let through


def solve_by_price(effects: Effects, feasible: FeasibleSet) -> Indices:
    """Return a feasible configuration whose sum of effects is least, up to a layer's step.

    Lagrangian relaxation (Sinha and Zoltners 1979): every layer takes the option of the least
    effect plus price times cost, at the lowest price that keeps the budget; what room is left goes
    to the changes that gain most. Arguments as of `solve_knapsack`.
    """
    layers = np.arange(len(effects))
    costs = feasible.costs.astype(float)

    def answer(price: float) -> Indices:
        found: Indices = (effects + price * costs).argmin(axis=1)
        return found

    low, high = 0.0, float(np.ptp(effects) + 1e-12) / max(1.0, float(np.ptp(costs)))
    while not feasible.fits(answer(high)) and high < MOST_PRICE:
        low, high = high, 2 * high
    for _ in range(PRICE_STEPS):
        price = 0.5 * (low + high)
        low, high = (low, price) if feasible.fits(answer(price)) else (price, high)
    chosen = feasible.repair(answer(high))
    while True:
        gains = effects[layers, chosen][:, None] - effects
        extra = feasible.costs - feasible.costs[layers, chosen][:, None]
        gains[extra > feasible.limit - feasible.spent(chosen)] = 0.0
        layer, option = np.unravel_index(gains.argmax(), gains.shape)
        if gains[layer, option] <= 0:
            return chosen
        chosen[layer] = option


def solve_and_refine(session: Session, left: int) -> Effects:
    """Measure effects, ask for their solution, refine them, and again; return the last effects.

    Args:
        session: is asked.
        left: evaluations that are left for something else, if there are so many.
    """
    refined = RefinedEffects(session, measure_effects(session))
    solution = solve_knapsack(refined.effects, session.feasible)
    session.ask_indices(solution.tolist())
    while session.remaining > max(left, 1) and refined.measure(solution, MEASURED_BETWEEN):
        solution = solve_knapsack(refined.effects, session.feasible)
        session.ask_indices(solution.tolist())
    return refined.effects


@dataclass(frozen=True, kw_only=True)
class Knapsack(Searcher):
    """Measure what options cost in loss at layers alone, then solve for the best sum.

    The widest uniform configurations come first, so that the result is at least as good. Where
    evaluations are too few for every layer, groups of alike ones are measured; what is left then
    halves the groups that matter most, down to single layers, and solves again and again.
    """

    name: ClassVar[str] = "knapsack"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for uniform configurations, sensitivities, and solutions of ever better ones."""
        ask_widest_uniforms(session)
        solve_and_refine(session, 0)
