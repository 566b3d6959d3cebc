"""What gradients say of a problem with many layers, as an agent that decides by layer uses it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant.cost.feasible import Indices
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.expected_increases import drawn_knapsacks, increase_surrogate
from rlquant_agents.surrogate.kernel import MANY_LAYERS
from rlquant_envs.observation import LAYER_FEATURES, Observer

Floats = npt.NDArray[np.float64]

LARGEST_SHARE = 1.0
"""Of the standard deviations that increases are drawn with."""
LEAST = 1e-12
MOST = 4.0
"""Features are cut off there; they are of the order of 1."""


@dataclass(frozen=True, slots=True, eq=False)
class SideInformation:
    """Expected increases of the loss, which cost no evaluation of a configuration.

    Attributes:
        session: whose problem it is.
        increases: shape `(decisions, options)`, at least 0.
        log_shift: what is added to losses before their log is taken.
    """

    session: Session
    increases: Floats
    log_shift: float

    @classmethod
    def of(cls, session: Session) -> SideInformation | None:
        """Return it; None of few layers, of another reward, or where gradients do not tell.

        The session's evaluations pay for the gradients.
        """
        shift = session.log_shift
        if len(session.feasible) <= MANY_LAYERS or shift is None:
            return None
        increases = session.expected_increases()
        return None if increases is None else cls(session, np.maximum(increases, 0.0), shift)

    def solutions(self, count: int, generator: np.random.Generator) -> Indices:
        """Return knapsacks of increases drawn around those expected, and first that of these."""
        surrogate = increase_surrogate(self.session, self.increases, self.log_shift)
        feasible = self.session.feasible
        return drawn_knapsacks(surrogate, feasible, count - 1, LARGEST_SHARE, generator)

    def layers(self) -> Floats:
        """Return what is known of every layer, shape `(decisions, features)`, of the order of 1.

        The environment's features of it, and for each option the log of its increase over the mean
        log of all, and its cost over that of the layer's most expensive.
        """
        feasible = self.session.feasible
        observer = Observer(self.session)
        rows = [observer.template(at, None)[: len(LAYER_FEATURES)] for at in range(len(feasible))]
        logs = np.log(np.maximum(self.increases, LEAST))
        spread = max(float(logs.std()), LEAST)
        relative = np.clip((logs - logs.mean()) / spread, -MOST, MOST)
        costs = feasible.costs / np.maximum(feasible.costs.max(axis=1, keepdims=True), 1)
        return np.concatenate([np.array(rows, dtype=np.float64), relative, costs], axis=1)
