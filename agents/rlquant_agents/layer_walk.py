"""One continuous action a layer: what an agent sees on its way, and what its actions stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rlquant.feasible import Indices
from rlquant_agents.session import Session
from rlquant_envs.action_table import ActionTable
from rlquant_envs.observation import Observation, Observer

Actions = npt.NDArray[np.float64]
"""One number in [0, 1] a layer: a rank among its options by cost."""
Policy = Callable[[Observation], float]
"""What is seen before a layer is decided in, an action out."""


class LayerWalk:
    """The layers of a problem, decided one after the other."""

    def __init__(self, session: Session) -> None:
        self._feasible = session.feasible
        self._observer = Observer(session)
        table = ActionTable.of(session.space, session.fidelity)
        self._asked = [tuple(action) for action in table.action_of.tolist()]
        self._by_cost = np.argsort(session.feasible.costs, axis=1, kind="stable")
        self._rank = np.argsort(self._by_cost, axis=1, kind="stable")

    def act(self, policy: Policy) -> tuple[Actions, Indices]:
        """Return the actions of a policy and the options they stand for, within budget or not."""
        actions = np.zeros(len(self._feasible))
        options = self._by_cost.shape[1]
        wanted = np.zeros(len(self._feasible), dtype=np.int64)
        for layer in range(len(wanted)):
            actions[layer] = policy(self._observe(wanted[:layer]))
            rank = min(int(actions[layer] * options), options - 1)
            wanted[layer] = self._by_cost[layer, rank]
        return actions, wanted

    def actions_of(self, indices: Indices) -> Actions:
        """Return the middles of the actions that stand for these options."""
        ranks = self._rank[np.arange(len(indices)), indices]
        found: Actions = (ranks + 0.5) / self._by_cost.shape[1]
        return found

    def seen(self, indices: Indices) -> list[Observation]:
        """Return what is seen on the way through a configuration, its end included."""
        return [self._observe(indices[:layer]) for layer in range(len(indices) + 1)]

    def _observe(self, decided: Indices) -> Observation:
        last = self._asked[decided[-1]] if len(decided) else None
        return self._observer.observe(len(decided), self._feasible.spent(decided), last)
