"""An additive latency model of layers in 8 bits, fitted to times of mixed networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AdditiveTimes:
    """Times of a network as a sum over its layers.

    Attributes:
        float_total: seconds with all layers in float.
        changes: seconds that one layer of each group adds in 8 bits; negative where it is faster.
        errors: standard errors of `changes`.
    """

    float_total: float
    changes: Floats
    errors: Floats

    @classmethod
    def fit(cls, counts: Floats, seconds: Floats) -> AdditiveTimes:
        """Fit relative errors by least squares.

        Args:
            counts: how many layers of each group run in 8 bits, shape `(networks, groups)`.
            seconds: shape `(networks,)`.
        """
        design = np.hstack([np.ones((len(counts), 1)), counts]) / seconds[:, None]
        wanted = np.ones(len(seconds))
        found, *_ = np.linalg.lstsq(design, wanted, rcond=None)
        spare = max(1, len(seconds) - design.shape[1])
        variance = float(((design @ found - wanted) ** 2).sum()) / spare
        covariance = variance * np.linalg.pinv(design.T @ design)
        errors: Floats = np.sqrt(np.diag(covariance))
        return cls(float(found[0]), found[1:].astype(np.float64), errors[1:])

    def predict(self, counts: Floats) -> Floats:
        """Return seconds for counts of shape `(networks, groups)`."""
        predicted: Floats = self.float_total + counts @ self.changes
        return predicted

    def float_times(self, layers: Floats, work: Floats) -> Floats:
        """Return seconds of one layer of each group in float.

        Mixed networks tell what changes, not how the rest divides: a layer gets at least what it
        saves in 8 bits, and the remainder is shared out by multiply-accumulates.

        Args:
            layers: how many layers a group has.
            work: multiply-accumulates of one of its layers.
        """
        least = np.maximum(0.0, -self.changes)
        rest = max(0.0, self.float_total - float(layers @ least))
        if not work.any():  # nothing but embeddings
            work = np.ones(len(work))
        shares: Floats = least + rest * work / float(layers @ work)
        return shares
