"""A model of the damage: a sum over layers and pairs of layers, fitted to what was measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant import LayerChoice
from rlquant.config import decisions_apart
from rlquant.cost.feasible import Indices
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.weight_error import Effects

Floats = npt.NDArray[np.float64]

LEAST_SPREAD = 0.05
"""Measured damages are taken to differ by so much at least; their differences are noise below."""


@dataclass(frozen=True, eq=False)
class DamageModel:
    """Predicts the damage of configurations.

    Attributes:
        constant: damage of no configuration in particular.
        single: what each option adds at each layer, shape `(layers, options)`.
        pairs: the pairs of layers that interact.
        double: what two options add together, shape `(pairs, options, options)`.
    """

    constant: float
    single: Effects
    pairs: Sequence[tuple[int, int]]
    double: Floats

    def predict(self, rows: Indices) -> Floats:
        """Return the damage of configurations, shape `(n, layers)` to `(n,)`."""
        damage = np.full(len(rows), self.constant)
        for layer, effects in enumerate(self.single):
            damage += effects[rows[:, layer]]
        for (first, second), effects in zip(self.pairs, self.double, strict=True):
            damage += effects[rows[:, first], rows[:, second]]
        return damage


class Measured:
    """Configurations with their damages, as rows of numbers; those without a final score not."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows: list[Indices] = []
        self._damages: list[float] = []
        self._feasible: list[bool] = []

    def add(self, evaluation: Evaluation) -> Indices:
        """Write an evaluation down; return its option indices."""
        row = self._session.feasible.indices(evaluation.config)
        if evaluation.final:
            self._rows.append(row)
            self._damages.append(self._session.damage(evaluation))
            self._feasible.append(evaluation.feasible)
        return row

    def __bool__(self) -> bool:
        """Return whether a configuration within the budget is among them."""
        return any(self._feasible)

    @property
    def rows(self) -> Indices:
        """All configurations, shape `(n, layers)`."""
        return np.array(self._rows)

    @property
    def damages(self) -> Floats:
        """Their damages, shape `(n,)`."""
        return np.array(self._damages)

    @property
    def best(self) -> Indices:
        """The best configuration within the budget."""
        return self._rows[int(np.where(self._feasible, self._damages, np.inf).argmin())]

    @property
    def least(self) -> float:
        """The damage of the best within the budget."""
        return float(self.damages[self._feasible].min())

    @property
    def spread(self) -> float:
        """How far bad ones lie above the best, within the budget: nine of ten are less bad."""
        bad = float(np.quantile(self.damages[self._feasible], 0.9))
        return max(bad - self.least, LEAST_SPREAD)


@dataclass(frozen=True, eq=False)
class DamagePrior:
    """What is believed of the damage before whole configurations are measured.

    A Gaussian process: the effect of an option at a layer lies around `effects`, `freedom` away
    from it, and similar options of a layer err together. What two options add together lies around
    nothing, `interaction` times the product of their freedoms away from it.

    Attributes:
        effects: expected effects, shape `(layers, options)`, in units of `Measured.spread`.
        freedom: standard deviations, of the same shape.
        alike: correlations between options, see `similarity`.
        interaction: of pairs of layers; 0 for a model that is a sum over layers alone.
        noise: standard deviation, in the same units, of what no such model explains.
    """

    effects: Effects
    freedom: Floats
    alike: Floats
    interaction: float
    noise: float

    def fitted(self, measured: Measured) -> DamageModel:
        """Return the most likely model after these measurements: ridge regression, in its units.

        What measured far above the best counts less: the model has to be right near it.
        """
        rows, damages = measured.rows, measured.damages / measured.spread
        layers = range(len(self.effects))
        columns = [  # covariance of each option of a layer with each measurement's
            np.outer(self.freedom[i], self.freedom[i][rows[:, i]]) * self.alike[:, rows[:, i]]
            for i in layers
        ]
        grams = [columns[i][rows[:, i]] for i in layers]
        pairs = list(itertools.combinations(layers, 2)) if self.interaction else []
        covariance = np.sum(grams, axis=0)
        for a, b in pairs:
            covariance += self.interaction**2 * grams[a] * grams[b]
        above = np.maximum(damages - measured.least / measured.spread, 0.0)
        covariance += np.diag(self.noise**2 * (1 + (2 * above) ** 2))
        constant, weights = _solve(covariance, damages - self._expected(rows))
        single = self.effects + np.array([column @ weights for column in columns])
        double = [self.interaction**2 * (columns[a] * weights) @ columns[b].T for a, b in pairs]
        return DamageModel(constant, single, pairs, np.array(double))

    def _expected(self, rows: Indices) -> Floats:
        found: Floats = self.effects[np.arange(rows.shape[1]), rows].sum(axis=1)
        return found


def _solve(covariance: Floats, residual: Floats) -> tuple[float, Floats]:
    """Return the constant, which nothing holds near zero, and what each measurement weighs."""
    ones, rest = np.linalg.solve(covariance, np.stack([np.ones(len(residual)), residual], 1)).T
    constant = float(rest.sum() / ones.sum())
    return constant, rest - constant * ones


def similarity(options: Sequence[LayerChoice]) -> Floats:
    """Return how much options have in common, 0 to 1: less by e every two bits or decisions."""

    def distance(a: LayerChoice, b: LayerChoice) -> int:
        return abs(a.arithmetic_bits - b.arithmetic_bits) + decisions_apart(a, b)

    return np.exp(-0.5 * np.array([[distance(a, b) for b in options] for a in options]))
