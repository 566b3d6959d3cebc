"""Estimates over runs on several strata, with intervals by stratified bootstrap.

Values have the shape `(seeds, strata)`: one number for each run, a column for each table under a
budget. The strata are fixed and the seeds are drawn again within each of them, so an interval says
what other seeds would give on the same tables, not what other tables would.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
whose code (rliable) draws from NumPy's global generator and compares no pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant.errors import DataError

Values = npt.NDArray[np.float64]
Statistic = Callable[[Values], Values]
"""Of values of shape `(..., seeds, strata)`, one number for each leading index."""

CONFIDENCE = 0.95
RESAMPLES = 2000
CHUNK = 200
"""Resamples that are held at the same time."""
SEED = 0
"""Of the resampling: the same runs have the same intervals, and all estimates the same draws."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def words(self, digits: int = 3, *, signed: bool = False) -> str:
        """Return "value [low, high]"; the value alone where no seed changes it."""
        sign = "+" if signed else ""
        value, low, high = (f"{x:{sign}.{digits}f}" for x in (self.value, self.low, self.high))
        return value if self.low == self.high else f"{value} [{low}, {high}]"


def mean(values: Values) -> Values:
    """Return the mean over seeds and strata."""
    found: Values = values.mean(axis=(-2, -1))
    return found


def interquartile_mean(values: Values) -> Values:
    """Return the mean of the middle half of all runs: without the best and the worst quarter.

    Of `n` values `n // 4` are left out at each end. Agarwal et al. 2021, "IQM".
    """
    flat = np.sort(values.reshape(*values.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    found: Values = flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    return found


def estimate(values: Values, statistic: Statistic = mean) -> Estimate:
    """Return a statistic of runs with its percentile interval.

    Args:
        values: shape `(seeds, strata)`; of differences, those within each pair.
        statistic: what is estimated.

    Raises:
        DataError: no run, or values of another shape.
    """
    require_runs(values)
    drawn = [
        statistic(np.take_along_axis(values[None], chosen, axis=1)) for chosen in _resamples(values)
    ]
    return _with_interval(float(statistic(values)), np.concatenate(drawn))


def crossed_estimate(values: Values) -> Estimate:
    """Return the mean over two kinds of things that are both drawn again: seeds and images.

    Rows and columns are drawn independently of each other, and every image is scored by every
    seed's network, so the interval is rather too wide than too narrow.

    Source: Owen 2007, "The pigeonhole bootstrap".

    Args:
        values: shape `(seeds, images)`.

    Raises:
        DataError: no value, or another shape.
    """
    require_runs(values)
    generator = np.random.default_rng(SEED)
    seeds, images = values.shape
    drawn = []
    for _ in range(RESAMPLES // CHUNK):
        rows = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=CHUNK)
        columns = generator.multinomial(images, np.full(images, 1 / images), size=CHUNK)
        drawn.append(((rows @ values) * columns).sum(axis=1) / values.size)
    return _with_interval(float(values.mean()), np.concatenate(drawn))


def improvement(values: Values, others: Values) -> float:
    """Return how often a run is below a run of another searcher: ties count half.

    The mean over strata of the Mann-Whitney statistic over its largest value; of regrets, 1 says
    that every run is better than every one of the other's. Agarwal et al. 2021, "probability of
    improvement".
    """
    return float(_wins(values, others).mean())


def improvement_estimate(values: Values, others: Values) -> Estimate:
    """Return `improvement` with its interval; both searchers' runs are drawn again, unpaired."""
    wins = _wins(values, others)
    strata = np.arange(wins.shape[2])
    drawn = [
        wins[own[:, :, None], other[:, None], strata].mean(axis=(1, 2, 3))
        for own, other in zip(_resamples(values), _resamples(others, SEED + 1), strict=True)
    ]
    return _with_interval(float(wins.mean()), np.concatenate(drawn))


def require_runs(values: Values) -> None:
    """Raise `DataError` for what is no table of runs and strata."""
    if values.ndim != 2 or not values.size:
        raise DataError(f"values of shape {values.shape}; give one number per seed and stratum")


def _wins(values: Values, others: Values) -> Values:
    """Return 1 where a run is below another's, 1/2 where equal; shape `(seeds, seeds, strata)`."""
    require_runs(values)
    require_runs(others)
    if values.shape[1] != others.shape[1]:
        raise DataError(
            f"{values.shape[1]} and {others.shape[1]} strata cannot be compared; judge both on the "
            f"same"
        )
    own, other = values[:, None], others[None]
    wins: Values = (own < other) + 0.5 * (own == other)
    return wins


def _resamples(values: Values, seed: int = SEED) -> Iterator[npt.NDArray[np.int64]]:
    """Yield which seeds are drawn in each stratum, a chunk of resamples at a time."""
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES // CHUNK):
        yield generator.integers(len(values), size=(CHUNK, *values.shape))


def _with_interval(value: float, drawn: Values) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))
