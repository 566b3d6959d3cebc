"""Local search by swaps: one layer up, another down, from the knapsack's solution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant.cost.feasible import Indices
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.searchers.sensitivity import measure_effects
from rlquant_agents.surrogate.neighbours import changed, feasible_changes
from rlquant_agents.surrogate.weight_error import Effects

MOST_NEIGHBOURS = 4096
SHAKES = 50


@dataclass(frozen=True, kw_only=True)
class LocalSwap(Searcher):
    """Improve the knapsack's solution by changes of one or two layers, best predicted first.

    The first change that measures better is taken; as many as a batch has are measured together.
    Where `tries` new neighbours are no better, the best so far is shaken at `kick` random layers
    and the search goes on from there.

    Attributes:
        kick: layers that change at random when stuck.
        tries: neighbours that are measured before a place counts as stuck.
    """

    name: ClassVar[str] = "local-swap"

    kick: int = 3
    tries: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "kick", "tries")

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the sensitivities, the knapsack's solution, and then for neighbours."""
        generator = np.random.default_rng(seed)
        effects = measure_effects(session)
        place = solve_knapsack(effects, session.feasible)
        value = session.ask_indices(place.tolist()).value
        best, best_value = place, value
        while True:
            better = self._better_neighbour(session, effects, place, value)
            if better is None:
                place = self._shaken(session, best, generator)
                value = session.ask_indices(place.tolist()).value
            else:
                place, value = better
            if value > best_value:
                best, best_value = place, value

    def _better_neighbour(
        self, session: Session, effects: Effects, place: Indices, value: float
    ) -> tuple[Indices, float] | None:
        rows, measured = neighbours(session, effects, place), 0
        for number, neighbour in enumerate(rows):
            known = session.recall(neighbour.tolist())
            if known is None:
                count = min(session.batch, self.tries - measured)
                if not count:
                    break
                known, *others = session.ask_rows(unknown(session, rows[number:], count))
                measured += 1 + len(others)
            if known.value > value:
                return neighbour, known.value
        return None

    def _shaken(self, session: Session, best: Indices, generator: np.random.Generator) -> Indices:
        """Return a configuration near `best`, a new one if some draws find one."""
        count = min(self.kick, len(best))
        for _ in range(SHAKES):
            shaken = best.copy()
            layers = generator.choice(len(best), size=count, replace=False)
            shaken[layers] = generator.integers(len(session.feasible.options), size=count)
            shaken = session.feasible.repair(shaken)
            if session.recall(shaken.tolist()) is None:
                return shaken
        return session.feasible.sample(generator)


def unknown(session: Session, rows: Sequence[Indices], count: int) -> list[list[int]]:
    """Return the first rows, so many, that have not been asked for."""
    vectors = (row.tolist() for row in rows)
    return list(itertools.islice((v for v in vectors if session.recall(v) is None), count))


def neighbours(session: Session, effects: Effects, place: Indices) -> list[Indices]:
    """Return the feasible configurations one or two layers away, best predicted first."""
    feasible = session.feasible
    gains = (effects - effects[np.arange(len(place)), place][:, None]).reshape(-1)
    first, second = feasible_changes(feasible, place)
    order = np.argsort(gains[first] + gains[second], kind="stable")[:MOST_NEIGHBOURS]
    return list(changed(place, len(feasible.options), first[order], second[order]))
