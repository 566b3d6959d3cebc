"""Evolution by level switches: a layer is given more bits where another one gives some away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant import FeasibleSet, Problem
from rlquant.cost.feasible import Indices
from rlquant.errors import SettingsError, whole_number
from rlquant.problem.protocol import Tokenized
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.search.token_racing import require_tokenized, survivors, token_stages
from rlquant_agents.search.uniform import widest_uniforms

SHARES = (1 / 64, 1 / 8)
"""Of the tokens of whole evaluations, what the paper's first stages have."""
TRIES = 200
"""Mutations that are drawn for a new child before the search gives up."""


@dataclass(frozen=True, kw_only=True)
class EvoPress(Searcher):
    """Mutate the best configuration by level switches, and keep the best of parent and children.

    A switch raises a layer by one level and lowers others until the budget is kept; levels are the
    layer's options in the order of their costs. A child has min(a, b) switches, a and b from 1 to
    3. It starts at the best widest uniform configuration. Children are selected in stages on more
    and more tokens; where a problem has no tokens, `children` of them are evaluated whole. A stage
    has no more children than take as many tokens as the whole evaluations of the last one.

    Attributes:
        children: of a generation without stages.
        tokens: of the stages before the whole evaluations; None for the paper's shares of them
            (`SHARES`: 2,048 and 16,384 of 131,072), () for no stages.
        sizes: children that each stage begins with, the last one being the whole evaluations.

    Source: Sieberling et al. 2024, "EvoPress".
    """

    name: ClassVar[str] = "evopress"

    children: int = 8
    tokens: tuple[int, ...] | None = None
    sizes: tuple[int, ...] = (128, 16, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "children")
        sizes = tuple(whole_number("searcher 'evopress': sizes", n, 1) for n in self.sizes)
        object.__setattr__(self, "sizes", sizes)
        if self.tokens is None:
            return
        stages = token_stages("searcher 'evopress': tokens", self.tokens)
        object.__setattr__(self, "tokens", stages)
        if stages and len(sizes) != len(stages) + 1:
            raise SettingsError(
                f"searcher 'evopress': sizes={sizes!r} of {len(stages)} stages of tokens; give one "
                f"size for each, and one for the whole evaluations"
            )

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` for stages that the problem cannot have."""
        require_tokenized("searcher 'evopress': tokens", self.tokens or (), problem)

    def explore(self, session: Session, seed: int) -> None:
        """Ask for generation after generation."""
        generator, levels = np.random.default_rng(seed), Levels(session.feasible)
        starts = widest_uniforms(session.feasible)
        asked = session.ask_many(starts) if starts else [session.ask_cheapest()]
        parent, (tokens, sizes) = max(asked, key=_value), self._stages(session)
        while True:
            base = session.feasible.indices(parent.config)
            children = [self._child(session, levels, base, generator) for _ in range(sizes[0])]
            rows = survivors(session, np.array(children), tokens, sizes)
            parent = max([parent, *session.ask_rows(rows.tolist())], key=_value)

    def _stages(self, session: Session) -> tuple[list[int], list[int]]:
        """Return the tokens of the stages, and how many children each begins with."""
        problem, tokens = session.problem, self.tokens
        if tokens is None:
            tokens = paper_stages(problem)
        if not tokens:
            return [], [self.children]
        *firsts, last = self.sizes[-len(tokens) - 1 :]
        affordable = [int(last / session.looks.share(count)) for count in tokens]
        return [*tokens], [*map(min, firsts, affordable), last]

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


def paper_stages(problem: Problem) -> tuple[int, ...]:
    """Return the tokens of the paper's stages by their shares: whole samples, none twice.

    There are none where a problem has no tokens, or trains its configurations.
    """
    if not isinstance(problem, Tokenized) or problem.fidelity != "calibrated":
        return ()
    found = [problem.at_tokens(max(1, int(share * problem.tokens))) for share in SHARES]
    counts = sorted({few.tokens for few in found if isinstance(few, Tokenized)})
    return tuple(count for count in counts if count < problem.tokens)


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
