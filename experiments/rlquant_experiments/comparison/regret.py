"""Regret of a search: 1 at uniform bits, 0 at the optimum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlquant import Score, TabularProblem
from rlquant.errors import SettingsError
from rlquant_agents.search.curves import Curve
from rlquant_agents.search.uniform import best_uniform
from rlquant_experiments.comparison.table_run import TableRun, TableRuns


@dataclass(frozen=True)
class RegretScale:
    """The two ends of the scale under one budget.

    Attributes:
        optimum: the best score there is.
        uniform: the best score of one option for all layers.
    """

    optimum: Score
    uniform: Score

    @classmethod
    def of(cls, problem: TabularProblem) -> RegretScale:
        """Look both ends up.

        Raises:
            SettingsError: they leave nothing between them.
        """
        _, optimum = problem.optimum()
        found = best_uniform(problem, len(problem.feasible.options))
        uniform = optimum if found is None else found[1]
        if not optimum.loss < uniform.loss < math.inf:
            raise SettingsError(
                f"{problem.budget}: uniform bits have the loss {uniform.loss:g} and the optimum "
                f"{optimum.loss:g}, so that regret has no scale; compare under another budget"
            )
        return cls(optimum, uniform)

    def regret(self, losses: Curve) -> Curve:
        """Return the regret of each loss; NaN where there is none yet."""
        found: Curve = (losses - self.optimum.loss) / (self.uniform.loss - self.optimum.loss)
        return found

    def mean_at(self, runs: Sequence[TableRun], evaluations: int) -> float:
        """Return the mean regret of several runs after so many evaluations."""
        losses = np.array([run.loss_at(evaluations) for run in runs])
        return float(self.regret(losses).mean())

    def ranked(self, runs: TableRuns, evaluations: int) -> list[str]:
        """Return the searchers, the smallest mean regret after so many evaluations first."""
        means = {name: self.mean_at(of, evaluations) for name, of in runs.items()}
        return sorted(runs, key=lambda name: (math.isnan(means[name]), means[name]))
