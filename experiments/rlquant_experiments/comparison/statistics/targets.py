"""Evaluations needed to reach a target, where some runs never do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlquant_experiments.comparison.statistics.regrets import Curves
from rlquant_experiments.comparison.statistics.statistics import Estimate, Values, estimate

TARGETS = (0.05, 0.01)
"""Regrets that a search may aim at."""


@dataclass(frozen=True, slots=True)
class ToTarget:
    """When runs reach a regret. All are watched for equally many evaluations.

    Attributes:
        target: the regret.
        reached: share of the runs that reach it.
        median: evaluations within which half of the runs reach it; infinite where fewer do.
        restricted: mean of the evaluations until it is reached, or until the watching ends.
    """

    target: float
    reached: float
    median: float
    restricted: Estimate

    @classmethod
    def of(cls, curves: Curves, target: float) -> ToTarget:
        """Look when the runs reach a regret of `target` or less.

        As all runs are watched equally long, the Kaplan-Meier estimate is the plain share of the
        runs that are there, and its restricted mean that of `min(evaluations, watched)`. A run
        that ended by itself before, and was not there, never gets there.

        Args:
            curves: shape `(seeds, strata, evaluations)`.
            target: the regret.
        """
        first = evaluations_to(curves, target)
        seeds, strata, watched = curves.shape
        middle = np.sort(first, axis=None)[(seeds * strata - 1) // 2]
        restricted = estimate(np.minimum(first, watched))
        return cls(target, float(np.isfinite(first).mean()), float(middle), restricted)

    def median_words(self) -> str:
        """Return the median, or that there is none."""
        return f"{self.median:.0f}" if np.isfinite(self.median) else "never"


def evaluations_to(curves: Curves, target: float) -> Values:
    """Return after how many evaluations each run reaches `target`; infinite where it never does."""
    there = curves <= target
    first: Values = np.where(there.any(axis=-1), there.argmax(axis=-1) + 1.0, np.inf)
    return first
