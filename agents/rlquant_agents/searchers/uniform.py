"""The same choice for every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.search.uniform import uniform_configs, widest_uniforms
from rlquant_agents.surrogate.weight_error import Effects

SHARE = 1 / 4
"""Of its evaluations, what a search spends at most on uniform configurations before its own."""


LIKELY = 1.5
"""Expected increases above so many times the least of all are no competition."""


def ask_widest_uniforms(session: Session, increases: Effects | None = None) -> None:
    """Ask for the widest uniform configurations that fit, so that no result is below them.

    Args:
        session: is asked.
        increases: expected increases of the loss, where they are known: what they rule out is not
            asked for.
    """
    configs = widest_uniforms(session.feasible)
    if increases is not None:
        rows = np.array([session.feasible.indices(config) for config in configs])
        sums = increases[np.arange(rows.shape[1]), rows].sum(axis=1)
        order = np.argsort(sums, kind="stable")
        configs = [configs[i] for i in order if sums[i] <= LIKELY * sums.min()]
    configs = configs[: int(SHARE * session.evaluations)]
    indices = [session.feasible.indices(config).tolist() for config in configs]
    session.propose("a uniform configuration", indices)
    session.ask_many(configs)


@dataclass(frozen=True, kw_only=True)
class Uniform(Searcher):
    """Try every option that all layers can have at once, most expensive first."""

    name: ClassVar[str] = "uniform"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for each uniform configuration that keeps the budget."""
        configs = uniform_configs(session.feasible)
        session.prefetch([session.feasible.indices(config).tolist() for config in configs])
        for config in configs:
            session.ask(config)
