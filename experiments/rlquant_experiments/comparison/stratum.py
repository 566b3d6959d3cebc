"""Stratum: all runs on a problem under one budget, and regrets where the optimum is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from rlquant import Budget, Problem, Score, TabularProblem
from rlquant.errors import SettingsError
from rlquant_agents.search.curves import Curve
from rlquant_agents.search.uniform import best_uniform
from rlquant_experiments.comparison.runs import Run, Runs

LOSS_MARKS = (25, 50, 100, 200, 400, 800)
REGRET_MARKS = (10, 30, 100, 300, 1000)
"""Numbers of evaluations at which losses and regrets are shown, as far as runs go."""

Stack = npt.NDArray[np.float64]
"""Losses or regrets of several runs, shape `(runs, evaluations)`."""


@dataclass(frozen=True)
class RegretScale:
    """The two ends of the scale of regrets under one budget: 1 at uniform bits, 0 at the optimum.

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


@dataclass(frozen=True, eq=False)
class Stratum:
    """A problem under a budget, and all runs on it.

    Attributes:
        source: the table or the task that is searched.
        problem: what was searched.
        runs: by label.
        scale: its optimum and its uniform configuration, where they are known.
    """

    source: str
    problem: Problem
    runs: Runs
    scale: RegretScale | None = None

    @property
    def name(self) -> str:
        """The source and the budget, in words."""
        return f"{self.source}, {self.budget}"

    @property
    def budget(self) -> Budget:
        """What the results keep."""
        return self.problem.budget

    def marks(self, evaluations: int) -> tuple[int, ...]:
        """Return at which numbers of evaluations runs of so many are shown."""
        return marks_up_to(evaluations, LOSS_MARKS if self.scale is None else REGRET_MARKS)

    def curve(self, run: Run) -> Curve:
        """Return what a run is compared by after each evaluation; NaN before the first find."""
        return run.curve if self.scale is None else self.scale.regret(run.curve)

    def mean_at(self, label: str, evaluations: int) -> float:
        """Return the mean over a searcher's runs of their loss or regret after some evaluations."""
        losses = np.array([run.loss_at(evaluations) for run in self.runs[label]])
        return float((losses if self.scale is None else self.scale.regret(losses)).mean())

    def mean_loss(self, label: str) -> float:
        """Return the mean over a searcher's runs of the loss of their results."""
        return fmean(run.score.loss for run in self.runs[label])

    def ranked(self) -> list[str]:
        """Return the labels, the lowest mean loss first."""
        return sorted(self.runs, key=self.mean_loss)

    def cheapest(self) -> Score:
        """Return the score of the cheapest configuration: the result of a search without a find."""
        feasible = self.problem.feasible
        return self.problem.evaluate(feasible.config(feasible.costs.argmin(axis=1)))

    def regrets(self, label: str, evaluations: int) -> Stack:
        """Return the regret of each run after each evaluation, shape `(runs, evaluations)`.

        A run that ended early keeps its last value. Before the first configuration within the
        budget it is that of the cheapest one.
        """
        assert self.scale is not None
        losses = np.full((len(self.runs[label]), evaluations), np.nan)
        for row, run in zip(losses, self.runs[label], strict=True):
            kept = run.curve[:evaluations]
            row[: len(kept)] = kept
            row[len(kept) :] = kept[-1] if len(kept) else np.nan
        return self.scale.regret(np.where(np.isnan(losses), self.cheapest().loss, losses))

    def every_run(self) -> list[Run]:
        """Return the runs of all searchers."""
        return [run for of in self.runs.values() for run in of]

    def violations(self) -> list[Run]:
        """Return the runs whose result is above the budget: there must be none."""
        budget = self.budget
        return [r for r in self.every_run() if getattr(r.score, budget.quantity) > budget.limit]


def labels_of(strata: Sequence[Stratum]) -> tuple[str, ...]:
    """Return the labels, in the order in which they were compared."""
    return tuple(strata[0].runs)


def marks_up_to(evaluations: int, marks: Sequence[int] = REGRET_MARKS) -> tuple[int, ...]:
    """Return the marks of runs of so many evaluations; the last is their end."""
    return (*(mark for mark in marks if mark < evaluations), evaluations)
