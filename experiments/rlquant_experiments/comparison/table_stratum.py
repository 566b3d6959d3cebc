"""All runs on one table under one budget: what is averaged within before it is averaged over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant import Score, TabularProblem
from rlquant_experiments.comparison.regret import RegretScale
from rlquant_experiments.comparison.table_run import TableRun, TableRuns

Stack = npt.NDArray[np.float64]
"""Regrets of several runs, shape `(runs, evaluations)`."""


@dataclass(frozen=True, eq=False)
class Stratum:
    """A table under a budget, and all runs on it.

    Attributes:
        problem: what was searched.
        scale: its optimum and its uniform configuration.
        runs: by label.
    """

    problem: TabularProblem
    scale: RegretScale
    runs: TableRuns

    @property
    def name(self) -> str:
        """The table and the budget, in words."""
        return f"{self.problem.table.name}, {self.problem.budget}"

    def cheapest(self) -> Score:
        """Return the score of the cheapest configuration: what a search without a find returns."""
        cheapest = self.problem.feasible.costs.argmin(axis=1)
        return self.problem.evaluate_indices(cheapest.tolist())

    def regrets(self, label: str, evaluations: int) -> Stack:
        """Return the regret of each run after each evaluation, shape `(runs, evaluations)`.

        A run that ended early keeps its last value. Before the first configuration within the
        budget it is that of the cheapest one, which a search that has found nothing returns.
        """
        losses = np.full((len(self.runs[label]), evaluations), np.nan)
        for row, run in zip(losses, self.runs[label], strict=True):
            kept = run.curve[:evaluations]
            row[: len(kept)] = kept
            row[len(kept) :] = kept[-1] if len(kept) else np.nan
        return self.scale.regret(np.where(np.isnan(losses), self.cheapest().loss, losses))

    def violations(self) -> list[TableRun]:
        """Return the runs whose result is above the budget: there must be none."""
        return [run for of in self.runs.values() for run in of if self._over(run.score)]

    def _over(self, score: Score) -> bool:
        budget = self.problem.budget
        return bool(getattr(score, budget.quantity) > budget.limit)


def labels_of(strata: Sequence[Stratum]) -> tuple[str, ...]:
    """Return the labels, in the order in which they were compared."""
    return tuple(strata[0].runs)
