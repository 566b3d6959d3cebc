"""The runs of the student and the differences between them, as findings ask for them."""

from __future__ import annotations

from rlquant_experiments.reproduction.claims import Comparison, Side
from rlquant_experiments.reproduction.polino.variants import STUDENT
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Values


class Students:
    """All runs of the student, by variant."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def values(self, variant: str, figure: str = "test_error", experiment: str = STUDENT) -> Values:
        """Return one number per seed, by default the test error of the student in percent."""
        return self.results.values(experiment, variant, figure)

    def mean(self, variant: str, figure: str = "test_error", experiment: str = STUDENT) -> float:
        """Return the mean over seeds."""
        return float(self.values(variant, figure, experiment).mean())

    def less(self, worse: str, better: str, side: Side = "above", limit: float = 0.0) -> Comparison:
        """Compare how many points of test error the second variant of the student has less."""
        values = self.values(worse) - self.values(better)
        return Comparison.of(f"{worse} - {better} (points)", values, side, limit)
