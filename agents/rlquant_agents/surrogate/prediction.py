"""What acquisition and agents ask of a surrogate, whichever it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from rlquant.cost.feasible import Indices

Floats = npt.NDArray[np.float64]


class PredictsLogLoss(Protocol):
    """A surrogate: fitted to evaluations, it predicts log losses and how surely."""

    spread: float
    """Standard deviation of the log losses that were fitted."""

    def fit(self, rows: Indices, log_losses: Floats) -> None:
        """Fit what was evaluated; replaces what was fitted before."""

    def condition_on(self, rows: Indices) -> None:
        """Take the predictions for these rows as observed, until `fit` is called again."""

    def predict(self, rows: Indices) -> tuple[Floats, Floats]:
        """Return expected log losses and their standard deviations, each shape `(n,)`."""

    def effects(self, base: Indices) -> Floats:
        """Return what each option at each layer alone is expected to change in `base`."""
