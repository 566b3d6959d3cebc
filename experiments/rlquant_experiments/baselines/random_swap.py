"""Local search from a random start: one or two layers changed, nothing known of the layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.neighbours import feasible_neighbours

SHAKES = 50


@dataclass(frozen=True, kw_only=True)
class RandomSwap(Searcher):
    """Draw configurations, then change the best one by one or two layers, in random order.

    Changes that leave no room for a more expensive option anywhere come first: more bits seldom
    hurt. The first change that is better is kept. Where none of `tries` new neighbours is, the
    best so far is shaken at `kick` layers and improved from there: iterated local search (Lourenco
    et al. 2003).

    Attributes:
        start: share of the evaluations that are drawn at random first.
        kick: layers that change at random when stuck.
        tries: neighbours that are measured before a place counts as stuck.
    """

    name: ClassVar[str] = "random-swap"

    start: float = 0.1
    kick: int = 3
    tries: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "kick", "tries")
        self.require_number("start", least=0.0, most=1.0)

    def explore(self, session: Session, seed: int) -> None:
        """Ask for random configurations, then for neighbours of the best one."""
        generator = np.random.default_rng(seed)
        draws = max(1, math.ceil(self.start * session.evaluations))
        drawn = [session.feasible.sample(generator) for _ in range(draws)]
        asked = [session.ask_indices(row.tolist()) for row in drawn]
        best = place = max(asked, key=lambda evaluation: evaluation.value)
        while True:
            better = self._better_neighbour(session, place, generator)
            place = better or self._shaken(session, best, generator)
            if place.value > best.value:
                best = place

    def _better_neighbour(
        self, session: Session, place: Evaluation, generator: np.random.Generator
    ) -> Evaluation | None:
        measured = 0
        feasible = session.feasible
        indices = feasible.indices(place.config)
        rows = feasible_neighbours(feasible, indices, generator)
        rows = rows[generator.permutation(len(rows))]
        full = is_full(feasible, rows)
        for row in (*rows[full], *rows[~full]):
            known = session.recall(row.tolist())
            if known is None:
                if measured == self.tries:
                    break
                known = session.ask_indices(row.tolist())
                measured += 1
            if known.value > place.value:
                return known
        return None

    def _shaken(
        self, session: Session, best: Evaluation, generator: np.random.Generator
    ) -> Evaluation:
        """Ask for a configuration near the best, a new one if some draws find one."""
        feasible = session.feasible
        count = min(self.kick, len(feasible))
        for _ in range(SHAKES):
            shaken = feasible.indices(best.config)
            layers = generator.choice(len(feasible), size=count, replace=False)
            shaken[layers] = generator.integers(len(feasible.options), size=count)
            shaken = feasible.repair(shaken)
            if session.recall(shaken.tolist()) is None:
                return session.ask_indices(shaken.tolist())
        return session.ask_indices(feasible.sample(generator).tolist())


def is_full(feasible: FeasibleSet, rows: Indices) -> npt.NDArray[np.bool_]:
    """Return which rows leave no room for a more expensive option at any layer, shape `(n,)`."""
    steps = feasible.costs[:, None, :] - feasible.costs[:, :, None]
    smallest = np.where(steps > 0, steps, feasible.limit + 1).min(axis=2)
    number = np.arange(len(feasible))
    left = feasible.limit - feasible.cost.fixed - feasible.costs[number, rows].sum(axis=1)
    full: npt.NDArray[np.bool_] = smallest[number, rows].min(axis=1) > left
    return full
