"""Random search, each feasible configuration with the same probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session


@dataclass(frozen=True, kw_only=True)
class RandomFeasible(Searcher):
    """Draw uniformly from the feasible set: the baseline that every search has to beat."""

    name: ClassVar[str] = "random"

    def explore(self, session: Session, seed: int) -> None:
        """Draw until the evaluations are spent."""
        generator = np.random.default_rng(seed)
        while True:
            drawn = [session.feasible.sample(generator) for _ in range(session.batch)]
            session.ask_rows([row.tolist() for row in drawn])
