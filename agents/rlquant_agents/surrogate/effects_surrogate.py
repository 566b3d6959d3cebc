"""A surrogate around known effects of single layers, corrected by whole configurations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant.cost.feasible import Indices
from rlquant_agents.surrogate.kernel import MANY_LAYERS, sum_over_layers, sum_over_pairs
from rlquant_agents.surrogate.observations import Observations
from rlquant_agents.surrogate.posterior import Posterior
from rlquant_agents.surrogate.weight_error import Effects

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EffectsSurrogate:
    """Predicts the log loss of configurations, in units of `Observations.spread`.

    Attributes:
        constant: log loss of no configuration in particular.
        single: what each option adds at each layer, shape `(layers, options)`.
        pairs: the pairs of layers that interact.
        double: what two options add together, shape `(pairs, options, options)`.
    """

    constant: float
    single: Effects
    pairs: Sequence[tuple[int, int]]
    double: Floats

    def predict(self, rows: Indices) -> Floats:
        """Return the expected log losses of configurations, shape `(n, layers)` to `(n,)`."""
        expected = np.full(len(rows), self.constant)
        for layer, effects in enumerate(self.single):
            expected += effects[rows[:, layer]]
        for (first, second), effects in zip(self.pairs, self.double, strict=True):
            expected += effects[rows[:, first], rows[:, second]]
        return expected


@dataclass(frozen=True, eq=False)
class EffectsPosterior:
    """The same prediction from covariances: of many layers, all pairs are too many to be kept."""

    prior: EffectsPrior
    tables: Floats
    rows: Indices
    posterior: Posterior

    def predict(self, rows: Indices) -> Floats:
        """Return the expected log losses of configurations, shape `(n, layers)` to `(n,)`."""
        covariance = self.prior.covariance(self.tables, rows, self.rows)
        return self.prior.sums(rows) + self.posterior.mean(covariance)


@dataclass(frozen=True, eq=False)
class EffectsPrior:
    """What is known of the log loss before whole configurations are evaluated.

    A Gaussian process: the effect of an option at a layer lies around `effects`, `deviations` away
    from it, and similar options of a layer err together. What two options add together lies around
    nothing, `interaction` times the product of their deviations away from it.

    Attributes:
        effects: expected effects, shape `(layers, options)`, in units of `Observations.spread`.
        deviations: standard deviations, of the same shape.
        correlation: between options, shape `(options, options)`.
        interaction: of pairs of layers; 0 for a surrogate that is a sum over layers alone.
        noise: standard deviation, in the same units, of what no such sum explains.
    """

    effects: Effects
    deviations: Floats
    correlation: Floats
    interaction: float
    noise: float

    def fit(self, observed: Observations) -> EffectsSurrogate | EffectsPosterior:
        """Return the surrogate given these observations, one within the budget among them.

        What was evaluated far above the best counts less: it has to be right near it. A constant
        is fitted too, as effects are differences.
        """
        rows, values = observed.rows, observed.log_losses / observed.spread
        tables = self.deviations[:, :, None] * self.deviations[:, None, :] * self.correlation
        covariance = self.covariance(tables, rows, rows)
        above = np.maximum(values - observed.least / observed.spread, 0.0)
        covariance[np.diag_indices_from(covariance)] += self.noise**2 * (1 + (2 * above) ** 2)
        posterior = Posterior.of(covariance, values - self.sums(rows), constant=True)
        if len(tables) > MANY_LAYERS:
            return EffectsPosterior(self, tables, rows, posterior)
        return self._sums(tables, rows, posterior)

    def covariance(self, tables: Floats, a: Indices, b: Indices) -> Floats:
        """Return the covariance of every row of `a` and every row of `b`, shape `(n, m)`.

        Args:
            tables: covariances of the options' effects, shape `(layers, options, options)`.
            a: option indices, shape `(n, layers)`.
            b: option indices, shape `(m, layers)`.
        """
        single = sum_over_layers(tables, a, b)
        if not self.interaction:
            return single
        # each pair of layers counts once, the sum has it twice
        twice = sum_over_pairs(single, tables, a, b)
        found: Floats = single + 0.5 * self.interaction**2 * twice
        return found

    def sums(self, rows: Indices) -> Floats:
        """Return the sums of the expected effects of rows, shape `(n,)`."""
        found: Floats = self.effects[np.arange(rows.shape[1]), rows].sum(axis=1)
        return found

    def _sums(self, tables: Floats, rows: Indices, posterior: Posterior) -> EffectsSurrogate:
        """Return the posterior mean, one number for each option and each pair of options.

        The mean anywhere is its covariance with the observations times their weights. As the
        covariance is a sum over layers and pairs, so is the mean, and these sums are looked up
        much sooner than covariances are computed.
        """
        layers = range(len(tables))
        columns = [tables[i][:, rows[:, i]] for i in layers]  # of each option with each row
        single = self.effects + np.array([column @ posterior.weights for column in columns])
        pairs = list(itertools.combinations(layers, 2)) if self.interaction else []
        double = [
            self.interaction**2 * (columns[a] * posterior.weights) @ columns[b].T for a, b in pairs
        ]
        return EffectsSurrogate(posterior.constant, single, pairs, np.array(double))
