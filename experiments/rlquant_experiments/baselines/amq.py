"""A predictor of the loss and a genetic algorithm on it, in turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RBFInterpolator

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import SearchEnded, Session
from rlquant_agents.searchers.uniform import ask_widest_uniforms
from rlquant_agents.surrogate.observations import Observations

Floats = npt.NDArray[np.float64]

SMOOTHING = 1e-3
"""Options that take as much, of other points or roundings, are one point with several losses."""


@dataclass(frozen=True, kw_only=True)
class AMQ(Searcher):
    """Fit a radial basis function to what is known, evolve on it, evaluate the best predicted.

    Configurations are seen as what the layers take, scales included. A generation is of children
    of two parents by uniform crossover, with some layers mutated, repaired to the budget. As the
    budget is one number, the best predicted losses are evaluated, where the paper takes a front.

    Attributes:
        start: share of the evaluations for random configurations beside the uniform ones.
        batch: configurations evaluated between two fits.
        population: configurations of a generation.
        generations: on one fit.

    Source: Lee et al. 2025, "AMQ: enabling AutoML for mixed-precision weight-only quantization".
    """

    name: ClassVar[str] = "amq"

    start: float = 0.25
    batch: int = 4
    population: int = 100
    generations: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "batch", "generations")
        self.require_whole(2, "population")
        self.require_number("start", least=0.0, most=1.0)

    def explore(self, session: Session, seed: int) -> None:
        """Ask for uniform and random configurations, then for what is predicted to be best."""
        generator, feasible = np.random.default_rng(seed), session.feasible
        observed = Observations(session)
        ask_widest_uniforms(session)
        draws = max(2, int(self.start * session.evaluations))
        observed.evaluate(np.array([feasible.sample(generator) for _ in range(draws)]))
        while True:
            rows = self._evolved(session, observed, generator)
            drawn = [feasible.sample(generator) for _ in range(self.population)]
            new = observed.unknown([*rows.tolist(), *(row.tolist() for row in drawn)])
            if not len(new):
                raise SearchEnded("exhausted")
            observed.evaluate(new[: self.batch])

    def _evolved(
        self, session: Session, observed: Observations, generator: np.random.Generator
    ) -> Indices:
        """Return the last population on a new fit, the best predicted loss first."""
        feasible = session.feasible
        bits, layers = bits_taken(feasible), np.arange(len(feasible))
        seen = RBFInterpolator(
            bits[layers, observed.rows],
            observed.log_losses,
            kernel="linear",
            degree=0,
            smoothing=SMOOTHING,
        )

        def fittest(rows: Indices) -> Indices:
            order = np.argsort(seen(bits[layers, rows]), kind="stable")
            found: Indices = rows[order[: self.population]]
            return found

        fitting = observed.rows[[feasible.fits(row) for row in observed.rows]]
        drawn = [feasible.sample(generator) for _ in range(self.population)]
        population = fittest(np.unique(np.concatenate([fitting, drawn]), axis=0))
        for _ in range(self.generations):
            children = self._children(population, feasible, generator)
            population = fittest(np.unique(np.concatenate([population, children]), axis=0))
        return population

    def _children(
        self, population: Indices, feasible: FeasibleSet, generator: np.random.Generator
    ) -> Indices:
        count, layers = population.shape
        first, second = generator.integers(count, size=(2, self.population))
        crossed = generator.random((self.population, layers)) < 0.5
        children = np.where(crossed, population[first], population[second])
        mutated = generator.random(children.shape) < 1.0 / layers
        drawn = generator.integers(len(feasible.options), size=children.shape)
        rows = np.where(mutated, drawn, children)
        return np.array([row if feasible.fits(row) else feasible.repair(row) for row in rows])


def bits_taken(feasible: FeasibleSet) -> Floats:
    """Return option costs as shares of the layer's highest one, shape `(layers, options)`."""
    costs = np.where(feasible.own, feasible.costs, 0).astype(float)
    found: Floats = costs / np.maximum(costs.max(axis=1, keepdims=True), 1.0)
    return found
