"""Measured one-layer sensitivities and an exact multiple-choice knapsack."""

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
from rlquant_agents.searchers.sensitivity import measure_effects
from rlquant_agents.surrogate.weight_error import Effects

RELATIVE_GAP = 1e-6


def solve_knapsack(effects: Effects, feasible: FeasibleSet) -> Indices:
    """Return the feasible configuration with the smallest sum of effects.

    Args:
        effects: shape `(layers, options)`, smaller is better.
        feasible: costs and limit.
    """
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


@dataclass(frozen=True, kw_only=True)
class Knapsack(Searcher):
    """Measure what each option costs in loss at each layer alone, then solve for the best sum."""

    name: ClassVar[str] = "knapsack"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the sensitivities, then for the knapsack's solution."""
        effects = measure_effects(session)
        session.ask_indices(solve_knapsack(effects, session.feasible).tolist())
