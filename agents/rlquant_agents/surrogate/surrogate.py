"""The surrogate: a Gaussian process over configurations that predicts their log loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rlquant import LayerChoice, LayerFacts
from rlquant.cost.feasible import Indices
from rlquant_agents.surrogate.kernel import Kernel, KernelHyperparameters
from rlquant_agents.surrogate.neighbours import single_changes
from rlquant_agents.surrogate.posterior import Posterior
from rlquant_agents.surrogate.weight_error import weight_errors

Floats = npt.NDArray[np.float64]

CAPPED = 0.85
"""Log losses above this quantile count as that much: how bad the bad ones are teaches little."""
MOST_ROWS = 400
"""Configurations that are fitted, at most: half of them the best, half the latest."""
GROWTH = 1.25
"""Hyperparameters are chosen again whenever so many times as many configurations are known."""
SWEEPS = 2
"""Times that every hyperparameter is tried."""
JITTER = 1e-8
AT_ONCE = 4096
"""Rows that are predicted at once, for the memory that it takes."""


class Surrogate:
    """Predicts the log loss of configurations from those that were evaluated, and how surely.

    The log loss is a sum over layers, over pairs of them, and over all together, of functions that
    are correlated between options of like bits; and a function of the sum of the layers' weight
    errors, which is known before anything is evaluated. How much of each, the marginal likelihood
    says.

    Args:
        layers: facts of the searched layers.
        options: the canonical options of a layer.
    """

    def __init__(self, layers: Sequence[LayerFacts], options: Sequence[LayerChoice]) -> None:
        names = [facts.name for facts in layers]
        self._kernel = Kernel(weight_errors(layers, options), options, names)
        self._hyperparameters = KernelHyperparameters.initial(self._kernel.weights)
        self._chosen_for = 0
        self._rows: Indices = np.zeros((0, len(layers)), dtype=np.int64)
        self._prior: Floats | None = None
        self._offset = 0.0

    def set_prior(self, effects: Floats) -> None:
        """Expect sums of these effects, shape `(layers, options)`, over a constant."""
        self._prior = effects

    def fit(self, rows: Indices, log_losses: Floats) -> None:
        """Fit what was evaluated; replaces what was fitted before.

        Args:
            rows: option indices of different configurations, shape `(n, layers)`, n above 0.
            log_losses: shape `(n,)`, finite, smaller is better.
        """
        rows, log_losses = _most_telling(rows, log_losses)
        cap = max(float(np.quantile(log_losses, CAPPED)), float(log_losses.min()) + 1e-3)
        values = np.minimum(log_losses, cap)
        if self._prior is not None:
            self._offset = float(np.median(log_losses - self._sums(rows)))
            values = values - np.minimum(self._expected(rows), cap)
        self._middle, self.spread = float(values.mean()), float(values.std()) or 1.0
        self._rows, self._values = rows, (values - self._middle) / self.spread
        if len(rows) >= GROWTH * self._chosen_for:
            self._hyperparameters = self._most_likely()
            self._chosen_for = len(rows)
        self._posterior = self._given(self._hyperparameters)

    def condition_on(self, rows: Indices) -> None:
        """Take the predictions for these rows as observed, until `fit` is called again.

        The means stay where they are and the deviations shrink; the scale is left alone, as
        predictions that agree with the surrogate say nothing about it.
        """
        expected = (self.predict(rows)[0] - self._expected(rows) - self._middle) / self.spread
        self._rows = np.concatenate([self._rows, rows])
        self._values = np.concatenate([self._values, expected])
        scale = self._posterior.scale
        self._posterior = replace(self._given(self._hyperparameters), scale=scale)

    def predict(self, rows: Indices) -> tuple[Floats, Floats]:
        """Return expected log losses and their standard deviations, each shape `(n,)`."""
        if len(rows) > AT_ONCE:  # of large networks a single change has thousands of rows
            parts = [
                self.predict(part) for part in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
            ]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        covariance = self._kernel(self._hyperparameters, rows, self._rows)
        expected = self._middle + self.spread * self._posterior.mean(covariance)
        variance = self._kernel.variance(self._hyperparameters)
        deviation = self._posterior.deviation(covariance, variance)
        return expected + self._expected(rows), self.spread * deviation

    def effects(self, base: Indices) -> Floats:
        """Return what each option at each layer alone is expected to change in a configuration.

        Args:
            base: option indices, shape `(layers,)`.

        Returns:
            Shape `(layers, options)`, differences of log loss to `base`.
        """
        rows = np.concatenate([single_changes(base, self._kernel.options), base[None, :]])
        expected, _ = self.predict(rows)
        found: Floats = (expected[:-1] - expected[-1]).reshape(len(base), -1)
        return found

    def _expected(self, rows: Indices) -> Floats | float:
        """Return what the prior expects of rows, shape `(n,)`; 0 where there is none."""
        return 0.0 if self._prior is None else self._sums(rows) + self._offset

    def _sums(self, rows: Indices) -> Floats:
        assert self._prior is not None
        found: Floats = self._prior[np.arange(rows.shape[1]), rows].sum(axis=1)
        return found

    def _most_likely(self) -> KernelHyperparameters:
        """Return the hyperparameters of the greatest likelihood that single changes lead to."""
        chosen = self._hyperparameters
        best = self._given(chosen).log_likelihood
        for _ in range(SWEEPS):
            before = best
            for change, least in self._kernel.changes():
                other = change(chosen)
                if other == chosen:
                    continue
                likelihood = self._given(other).log_likelihood
                if likelihood > best + least:
                    best, chosen = likelihood, other
            if best <= before:
                break
        return chosen

    def _given(self, hyperparameters: KernelHyperparameters) -> Posterior:
        covariance = self._kernel(hyperparameters, self._rows, self._rows)
        covariance[np.diag_indices_from(covariance)] += hyperparameters.noise_variance + JITTER
        return Posterior.of(covariance, self._values)


def _most_telling(rows: Indices, log_losses: Floats) -> tuple[Indices, Floats]:
    if len(rows) <= MOST_ROWS:
        return rows, log_losses
    latest = np.arange(len(rows) - MOST_ROWS // 2, len(rows))
    earlier = np.argsort(log_losses[: latest[0]], kind="stable")[: MOST_ROWS // 2]
    kept = np.concatenate([np.sort(earlier), latest])
    return rows[kept], log_losses[kept]
