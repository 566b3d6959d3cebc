"""How far a cheap measurement ranks configurations as a long training does."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap, spearmanr

from rlquant import QuantizationConfig, QuantizationProblem
from rlquant.choices import FIDELITIES
from rlquant.errors import SettingsError

RESAMPLES = 2000
LEAST = 4


@dataclass(frozen=True, eq=False)
class FidelityStudy:
    """Losses of the same configurations at several fidelities.

    Attributes:
        fidelities: lowest first.
        losses: shape `(configurations, fidelities)`.
    """

    fidelities: tuple[str, ...]
    losses: npt.NDArray[np.float64]

    def correlations(self) -> list[Correlation]:
        """Return the rank correlation of every two fidelities."""
        return [
            Correlation.of(self.fidelities[i], self.fidelities[j], *self.losses[:, [i, j]].T)
            for i, j in combinations(range(len(self.fidelities)), 2)
        ]

    def markdown(self) -> str:
        """Return the correlations as a table."""
        lines = [
            "| fidelities | configurations | Spearman's rank correlation | 95 % interval |",
            "| --- | --- | --- | --- |",
        ]
        for found in self.correlations():
            interval = f"{found.low:.2f} to {found.high:.2f}"
            pair = f"{found.first} and {found.second}"
            lines.append(f"| {pair} | {len(self.losses)} | {found.value:.3f} | {interval} |")
        return "\n".join(lines)

    def csv(self) -> str:
        """Return the losses as a table."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.fidelities)
        writer.writerows(self.losses.tolist())
        return stream.getvalue()


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation of two fidelities, with a bootstrap interval of 95 %."""

    first: str
    second: str
    value: float
    low: float
    high: float

    @classmethod
    def of(
        cls,
        first: str,
        second: str,
        a: npt.NDArray[np.float64],
        b: npt.NDArray[np.float64],
    ) -> Correlation:
        """Compare the losses of the same configurations; infinite ones rank last."""
        a, b = (np.nan_to_num(losses, posinf=1e30) for losses in (a, b))
        interval = bootstrap(
            (a, b),
            rank_correlation,
            paired=True,
            vectorized=False,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return cls(first, second, rank_correlation(a, b), float(interval.low), float(interval.high))


def rank_correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation; 0 where one of the two does not vary."""
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return 0.0
    return float(spearmanr(a, b).statistic)


def study_fidelities(
    problem: QuantizationProblem,
    count: int,
    seed: int,
    progress: Callable[[Sequence[QuantizationConfig]], Sequence[QuantizationConfig]],
) -> FidelityStudy:
    """Measure random feasible configurations at every fidelity up to the problem's.

    Args:
        problem: of the highest fidelity; its store keeps what is measured, so that a study that
            was stopped goes on.
        count: how many configurations, each feasible one with the same probability.
        seed: of the draws.
        progress: wraps the configurations, to show how far it is.

    Raises:
        SettingsError: too few configurations to rank, or nothing to compare with.
    """
    names = FIDELITIES[: FIDELITIES.index(problem.fidelity) + 1]
    if count < LEAST or len(names) < 2:
        raise SettingsError(
            f"a study of {count} configurations at {names}: use at least {LEAST}, and a problem of "
            f"fidelity 'tuned' or 'trained'"
        )
    generator = np.random.default_rng(seed)
    drawn = [problem.feasible.config(problem.feasible.sample(generator)) for _ in range(count)]
    problems = [problem.at_fidelity(name) for name in names]
    losses = [[each.evaluate(config).loss for each in problems] for config in progress(drawn)]
    return FidelityStudy(names, np.array(losses))
