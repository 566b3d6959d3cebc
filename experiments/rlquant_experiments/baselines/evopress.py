"""Evolution by level switches: a layer is given more bits where another one gives some away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.search.uniform import widest_uniforms

TRIES = 200
"""Mutations that are drawn for a new child before the search gives up."""


@dataclass(frozen=True, kw_only=True)
class EvoPress(Searcher):
    """Mutate the best configuration by level switches, and keep the best of parent and children.

    A switch raises a layer by one level and lowers others until the budget is kept; levels are the
    layer's options in the order of their costs. A child has min(a, b) switches, a and b from 1 to
    3. It starts at the best widest uniform configuration. In the paper, selection takes place in
    stages on more and more tokens; here every child is evaluated, or raced where the problem races.

    Attributes:
        children: of a generation.

    Source: Sieberling et al. 2024, "EvoPress".
    """

    name: ClassVar[str] = "evopress"

    children: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "children")

    def explore(self, session: Session, seed: int) -> None:
        """Ask for generation after generation."""
        generator, levels = np.random.default_rng(seed), Levels(session.feasible)
        starts = widest_uniforms(session.feasible)
        asked = session.ask_many(starts) if starts else [session.ask_cheapest()]
        parent = max(asked, key=_value)
        while True:
            base = session.feasible.indices(parent.config)
            rows = [self._child(session, levels, base, generator) for _ in range(self.children)]
            parent = max([parent, *(session.ask_indices(row.tolist()) for row in rows)], key=_value)

    def _child(
        self, session: Session, levels: Levels, base: Indices, generator: np.random.Generator
    ) -> Indices:
        for _ in range(TRIES):
            child = base
            for _ in range(min(generator.integers(1, 4, size=2))):
                child = levels.switched(child, generator)
            if session.recall(child.tolist()) is None:
                return child
        return session.feasible.sample(generator)


def _value(evaluation: Evaluation) -> float:
    return evaluation.value if evaluation.candidate else -np.inf


class Levels:
    """The options of every layer in the order of their costs.

    Args:
        feasible: costs and budget.
    """

    def __init__(self, feasible: FeasibleSet) -> None:
        self._feasible = feasible
        costs = np.where(feasible.own, feasible.costs.astype(float), np.inf)
        self._order = np.argsort(costs, axis=1, kind="stable")
        self._level = np.argsort(self._order, axis=1)
        self._top = feasible.own.sum(axis=1) - 1

    def switched(self, base: Indices, generator: np.random.Generator) -> Indices:
        """Return a row with one layer a level higher and others lower, as the budget asks for."""
        feasible, child = self._feasible, np.array(base)
        layers = np.arange(len(child))
        level = self._level[layers, child]
        raisable = np.flatnonzero(level < self._top)
        if not len(raisable):
            return child
        raised = generator.choice(raisable)
        child[raised] = self._order[raised, level[raised] + 1]
        while not feasible.fits(child):
            level = self._level[layers, child]
            others = np.flatnonzero((level > 0) & (layers != raised))
            if not len(others):
                return np.array(base)
            lowered = generator.choice(others)
            child[lowered] = self._order[lowered, level[lowered] - 1]
        return child
