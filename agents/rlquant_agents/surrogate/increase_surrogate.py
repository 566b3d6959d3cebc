"""A surrogate whose prior mean is the sum of expected loss increases, layer by layer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from rlquant.cost.feasible import Indices
from rlquant.layer_names import role
from rlquant_agents.surrogate.neighbours import single_changes
from rlquant_agents.surrogate.posterior import Posterior

Floats = npt.NDArray[np.float64]

COMMON, SHARED, OWN, OPTION = (0.1, 1.0), (0.05, 0.2, 0.5), (0.05, 0.15, 0.4), (0.05, 0.15, 0.4)
"""Standard deviations of the multipliers of all, of roles, layers and options, to choose from."""
NOISE = (0.01, 0.03, 0.1)
"""Of what the sum does not explain, as a share of it, to choose from."""
DEPTH_SCALE = 0.3
"""Of the network's depth: layers of one role that are so far apart have little in common."""
WORST = 2.5
"""Increases above so many times the least are left out: large ones do not add up."""
LEAST_ROWS = 10
"""Fewer rows do not choose standard deviations."""
SMALLEST = 1e-9


@dataclass(frozen=True, slots=True)
class Deviations:
    """Standard deviations of the multipliers, each relative to 1, and of the noise."""

    common: float
    shared: float
    own: float
    option: float
    noise: float


UNITS = tuple(Deviations(*row) for row in np.eye(5).tolist())
FIRST = Deviations(0.5, 0.2, 0.15, 0.1, 0.03)
"""Before there are enough evaluations to choose by."""


class IncreaseSurrogate:
    """Predicts the loss as that of the float network plus increases times unknown multipliers.

    Every increase has a multiplier, 1 before anything is evaluated: a sum of one that all have in
    common, one that layers of a role share, the more the nearer they are in depth, one of the layer
    and one of its option. All are normal, so that the loss is a Gaussian process, and an evaluation
    of a whole configuration says something of every layer.

    The common one is for what gradients leave out: errors change the loss in the mean as well,
    through less confident answers, for which a network pays that learned from smoothed labels.

    Args:
        increases: expected increases of the loss, shape `(decisions, options)`, at least 0.
        names: of the decisions, in execution order.
        float_loss: of the float network.
        log_shift: what is added to losses before their log is taken.
        label_variance: of an option's increase, over what is expected, see `Predicts`.

    Attributes:
        spread: standard deviation of the log losses that were fitted.
    """

    def __init__(
        self,
        increases: Floats,
        names: Sequence[str],
        float_loss: float,
        log_shift: float,
        label_variance: float = 0.0,
    ) -> None:
        self._label_variance = label_variance
        self._increases = np.maximum(increases, 0.0)
        self._float_loss, self._shift = float_loss, log_shift
        self._alike = _alike(names)
        self._deviations = FIRST
        self._rows: Indices = np.zeros((0, len(names)), dtype=np.int64)
        self._values: Floats = np.zeros(0)
        self._posterior: Posterior | None = None
        self._drawn: tuple[Floats, Floats] | None = None
        self.spread = 1.0

    def fit(self, rows: Indices, log_losses: Floats) -> None:
        """Fit what was evaluated; replaces what was fitted before.

        Args:
            rows: option indices of different configurations, shape `(n, decisions)`, n above 0.
            log_losses: shape `(n,)`, finite.
        """
        above = np.exp(log_losses) - self._shift - self._float_loss
        near = above <= WORST * max(float(above.min()), SMALLEST)
        self._take(rows[near], above[near] - self._sums(rows[near]))
        self.spread = float(log_losses[near].std()) or 1.0
        if len(self._rows) >= LEAST_ROWS:
            grid = itertools.product(COMMON, SHARED, OWN, OPTION, NOISE)
            tried = [Deviations(*given) for given in grid]
            self._deviations = max(tried, key=self._log_likelihood)
        self._posterior = self._given(self._deviations)

    def condition_on(self, rows: Indices) -> None:
        """Take the predictions for these rows as observed, until `fit` is called again."""
        values = self._means(rows) - self._float_loss - self._sums(rows)
        self._take(np.concatenate([self._rows, rows]), np.concatenate([self._values, values]))
        self._posterior = self._given(self._deviations)

    def _take(self, rows: Indices, values: Floats) -> None:
        """Take rows and what their losses have beyond the expected increases."""
        self._rows, self._values, self._drawn = rows, values, None
        nothing = self._between(Deviations(*[0.0] * 5), rows, rows)
        self._of_labels = nothing
        self._of_units = [self._between(unit, rows, rows) - nothing for unit in UNITS]
        self._of_units[-1] = np.diag(self._sums(rows) ** 2)

    def predict(self, rows: Indices) -> tuple[Floats, Floats]:
        """Return expected log losses and their standard deviations, each shape `(n,)`."""
        expected, deviation = self._predicted(rows)
        logged = self._log(expected)
        return logged, deviation / np.exp(logged)

    def _log(self, losses: Floats) -> Floats:
        """Return the log losses of expected losses, which are above that of the float network."""
        found: Floats = np.log(np.maximum(losses, self._float_loss + SMALLEST) + self._shift)
        return found

    def unexplained(self, rows: Indices) -> Floats:
        """Return the standard deviation of what no multiplier explains of log losses, shape `(n,)`.

        Beside that of `predict` it is a part of what an evaluation may differ by.
        """
        sums = self._sums(rows)
        found: Floats = self._deviations.noise * sums / (sums + self._float_loss + self._shift)
        return found

    def effects(self, base: Indices) -> Floats:
        """Return what each option at each layer alone is expected to change in a configuration.

        Args:
            base: option indices, shape `(decisions,)`.

        Returns:
            Shape `(decisions, options)`, differences of log loss to `base`.
        """
        rows = np.concatenate([single_changes(base, self._increases.shape[1]), base[None, :]])
        expected = self._log(self._means(rows))
        found: Floats = (expected[:-1] - expected[-1]).reshape(len(base), -1)
        return found

    def draw(self, generator: np.random.Generator, share: float) -> Floats:
        """Return increases drawn from what is known, shape `(decisions, options)`.

        Args:
            generator: of the draw.
            share: of the standard deviations; 0 for the expected increases.
        """
        if self._drawn is None:
            self._drawn = self._of_layers()
        mean, root = self._drawn
        multipliers = mean + share * root @ generator.standard_normal(len(mean))
        own = 1.0 + share * self._deviations.option * generator.standard_normal(
            self._increases.shape
        )
        found: Floats = (
            self._increases * np.maximum(multipliers[:, None], 0.1) * np.maximum(own, 0.1)
        )
        return found

    def _of_layers(self) -> tuple[Floats, Floats]:
        """Return mean and a root of the covariance of the layers' multipliers, given the values."""
        covariance = self._layer_covariance(self._deviations)
        mean: Floats = np.ones(len(covariance))
        if self._posterior is not None and len(self._values):
            across = self._chosen(self._rows) @ covariance
            known = np.linalg.solve(self._covariance(self._deviations), across)
            mean = mean + known.T @ self._values
            covariance -= across.T @ known
        covariance[np.diag_indices_from(covariance)] += 1e-8
        root = np.linalg.cholesky(covariance).astype(np.float64, copy=False)
        return mean, root

    def _predicted(self, rows: Indices) -> tuple[Floats, Floats]:
        """Return expected losses and their standard deviations."""
        sums = self._sums(rows)
        shared = self._chosen(rows) @ self._layer_covariance(self._deviations)
        variance = np.einsum("ij,ij->i", shared, self._chosen(rows))
        variance += self._deviations.option**2 * np.square(self._chosen(rows)).sum(axis=1)
        variance += self._label_variance * self._taken(self._increases, rows).sum(axis=1)
        if self._posterior is None:
            return self._float_loss + sums, np.sqrt(variance)
        covariance = self._between(self._deviations, rows, self._rows)
        left = np.maximum(variance - self._posterior.explained(covariance), SMALLEST**2)
        return self._float_loss + sums + self._posterior.mean(covariance), np.sqrt(left)

    def _means(self, rows: Indices) -> Floats:
        """Return expected losses alone."""
        found = self._float_loss + self._sums(rows)
        if self._posterior is not None:
            found += self._posterior.mean(self._between(self._deviations, rows, self._rows))
        return found

    def _given(self, deviations: Deviations) -> Posterior:
        return Posterior.of(self._covariance(deviations), self._values)

    def _log_likelihood(self, deviations: Deviations) -> float:
        """Return the log density of the values up to a constant, -1/2 (v' K^-1 v + log |K|)."""
        given = self._given(deviations)
        quadratic = float(self._values @ given.weights)
        return -0.5 * quadratic - float(np.log(np.diag(given.factor)).sum())

    def _covariance(self, deviations: Deviations) -> Floats:
        """Return the covariance of the values that were fitted, noise included."""
        parts = zip(astuple(deviations), self._of_units, strict=True)
        found: Floats = self._of_labels + sum(size**2 * part for size, part in parts)
        found[np.diag_indices_from(found)] += SMALLEST**2
        return found

    def _between(self, deviations: Deviations, a: Indices, b: Indices) -> Floats:
        """Return the covariance of the losses of every row of `a` and every row of `b`."""
        found = self._chosen(a) @ (self._layer_covariance(deviations) @ self._chosen(b).T)
        alone = deviations.option**2 * self._increases**2 + self._label_variance * self._increases
        root = np.sqrt(alone)
        result: Floats = found + self._one_hot(root, a) @ self._one_hot(root, b).T.toarray()
        return result

    def _one_hot(self, values: Floats, rows: Indices) -> csr_array:
        """Return the chosen values among zeros, shape `(n, decisions * options)`."""
        count, decisions = rows.shape
        columns = rows + np.arange(decisions) * values.shape[1]
        begins = np.arange(count + 1) * decisions
        entries = (self._taken(values, rows).ravel(), columns.ravel(), begins)
        return csr_array(entries, shape=(count, values.size))

    def _layer_covariance(self, deviations: Deviations) -> Floats:
        found: Floats = deviations.common**2 + deviations.shared**2 * self._alike
        found[np.diag_indices_from(found)] += deviations.own**2
        return found

    def _chosen(self, rows: Indices) -> Floats:
        """Return the increase of each decision of each row, shape of `rows`."""
        return self._taken(self._increases, rows)

    def _taken(self, values: Floats, rows: Indices) -> Floats:
        found: Floats = values[np.arange(rows.shape[1]), rows]
        return found

    def _sums(self, rows: Indices) -> Floats:
        found: Floats = self._chosen(rows).sum(axis=1)
        return found


def _alike(names: Sequence[str]) -> Floats:
    """Return how much layers have in common, 1 for the same: half by role, half by depth too."""
    roles = np.array([role(name) for name in names])
    depth = np.arange(len(names)) / max(1, len(names) - 1)
    near = np.exp(-np.abs(np.subtract.outer(depth, depth)) / DEPTH_SCALE)
    found: Floats = (roles[:, None] == roles[None, :]) * (0.5 + 0.5 * near)
    return found
