"""The same choice for every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session


@dataclass(frozen=True, kw_only=True)
class Uniform(Searcher):
    """Try every option that all layers can have at once, dearest first."""

    name: ClassVar[str] = "uniform"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for each uniform configuration that keeps the budget."""
        feasible = session.feasible
        uniform = [[option] * len(feasible) for option in range(len(feasible.options))]
        for indices in sorted(uniform, key=feasible.spent, reverse=True):
            if feasible.fits(indices):
                session.ask_indices(indices)
