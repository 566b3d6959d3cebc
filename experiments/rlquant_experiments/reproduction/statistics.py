"""Means over seeds, and differences between them with a confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant.errors import DataError

Values = npt.NDArray[np.float64]
"""One number per seed, in the order of the seeds."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """A mean over seeds, and how much the seeds differ.

    Attributes:
        mean: of all seeds.
        deviation: standard deviation (n - 1 below the sum); NaN for a single seed.
        count: how many seeds.
    """

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Values) -> Summary:
        """Summarise; `DataError` where there is nothing."""
        if len(values) == 0:
            raise DataError("no run to take the mean of; give at least one seed")
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), deviation, len(values))

    def words(self, digits: int = 2) -> str:
        """Return "mean ± deviation"."""
        spread = "" if math.isnan(self.deviation) else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference and its confidence interval.

    Attributes:
        mean: of the differences.
        low: lower end of the interval; minus infinity for a single seed.
        high: upper end.
        count: how many pairs.
    """

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Values, confidence: float = CONFIDENCE) -> Difference:
        """Return the mean of one number per seed with its interval by Student's t.

        Args:
            values: what was subtracted within each seed; weighted sums do as well.
            confidence: of the interval.
        """
        from scipy import stats  # imports slowly

        summary = Summary.of(values)
        if summary.count == 1:
            return cls(summary.mean, -math.inf, math.inf, 1)
        quantile = float(stats.t.ppf(0.5 + confidence / 2, summary.count - 1))
        reach = quantile * summary.deviation / math.sqrt(summary.count)
        return cls(summary.mean, summary.mean - reach, summary.mean + reach, summary.count)

    @classmethod
    def paired(cls, values: Values, others: Values, confidence: float = CONFIDENCE) -> Difference:
        """Return `values - others`, seed by seed.

        Raises:
            DataError: the two have not the same number of seeds.
        """
        if len(values) != len(others):
            raise DataError(
                f"{len(values)} and {len(others)} seeds cannot be paired; run both with the same"
            )
        return cls.of(values - others, confidence)

    def words(self, digits: int = 2) -> str:
        """Return "mean [low, high]"."""
        if self.count == 1:
            return f"{self.mean:+.{digits}f} [one seed]"
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"
