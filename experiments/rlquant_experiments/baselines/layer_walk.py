"""A walk over layers with one continuous action each: observations, and actions as options."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlquant.cost.feasible import Indices
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.optuna.cost_ranks import CostRanks, Numbers
from rlquant_envs.action_table import ActionTable
from rlquant_envs.observation import Observation, Observer

Policy = Callable[[Observation], float]
"""What is seen before a layer is decided in, an action out."""


class LayerWalk:
    """The layers of a problem, decided one after the other."""

    def __init__(self, session: Session) -> None:
        self._feasible = session.feasible
        self._observer = Observer(session)
        table = ActionTable.of(session.space, session.fidelity)
        self._asked = [tuple(action) for action in table.action_of.tolist()]
        self._ranks = CostRanks(session.feasible.costs)

    def act(self, policy: Policy) -> tuple[Numbers, Indices]:
        """Return the actions of a policy and the options they stand for, within budget or not."""
        actions = np.zeros(len(self._feasible))
        wanted = np.zeros(len(self._feasible), dtype=np.int64)
        for layer in range(len(wanted)):
            actions[layer] = policy(self._observe(wanted[:layer]))
            wanted[layer] = self._ranks.by_cost[layer, self._ranks.rank_of(actions[layer])]
        return actions, wanted

    def actions_of(self, indices: Indices) -> Numbers:
        """Return the middles of the actions that stand for these options."""
        return self._ranks.middles(indices)

    def seen(self, indices: Indices) -> list[Observation]:
        """Return what is seen on the way through a configuration, its end included."""
        return [self._observe(indices[:layer]) for layer in range(len(indices) + 1)]

    def _observe(self, decided: Indices) -> Observation:
        last = self._asked[decided[-1]] if len(decided) else None
        return self._observer.observe(len(decided), self._feasible.spent(decided), last)
