"""Settings of a searcher tried on tables: the runs, and the one number that is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from rlquant import Budget, Table, TabularProblem
from rlquant.errors import BudgetError
from rlquant.score import log_loss
from rlquant.whole_files import make_folder
from rlquant_agents.comparison import Curve
from rlquant_agents.comparison_progress import RunsBar
from rlquant_agents.table_run import TableJob
from rlquant_agents.variants import Variant


@dataclass(frozen=True, eq=False)
class Ground:
    """A table under a budget, and what losses on it are measured against.

    Attributes:
        problem: what is searched.
        optimum: log of the smallest loss within the budget.
        cheapest: loss of the cheapest configuration.
    """

    problem: TabularProblem
    optimum: float
    cheapest: float

    @classmethod
    def of(cls, table: Table, budget: Budget) -> Ground:
        """Look both ends up; `BudgetError` where nothing keeps the budget."""
        problem = TabularProblem(table, budget)
        cheapest = problem.feasible.costs.argmin(axis=1).tolist()
        loss = problem.evaluate_indices(cheapest).loss
        return cls(problem, log_loss(problem.optimum()[1].loss), loss)

    @property
    def name(self) -> str:
        """The table and the budget, as part of a file name."""
        return f"{self.problem.table.name}-{self.problem.budget.limit:g}"

    def area(self, curve: Curve, evaluations: int) -> float:
        """Return the mean over the evaluations of the log of the best loss over the optimum's.

        Args:
            curve: best loss after each evaluation; NaN before the first within the budget, where
                the cheapest configuration's stands in.
            evaluations: a run that ended before them keeps its last loss, a longer one is cut.
        """
        found = curve[:evaluations]
        losses = np.where(np.isnan(found), self.cheapest, found)
        above = [log_loss(loss) - self.optimum for loss in losses]
        above += [above[-1]] * (evaluations - len(above))
        return fmean(above)

    def job(self, variant: Variant, seed: int, evaluations: int, folder: Path) -> TableJob:
        """Return a run on this ground, kept in the folder."""
        path = folder / f"{variant.label}-{self.name}-seed{seed}.json"
        return TableJob(self.problem, variant, seed, evaluations, path)


Grounds = tuple[tuple[Ground, ...], ...]
"""Of each table, those under the budgets that it can keep."""


def grounds_on(tables: Sequence[Table], budgets: Sequence[Budget]) -> tuple[Grounds, list[str]]:
    """Return every table under every budget, and what is left out as nothing keeps the budget.

    Raises:
        BudgetError: nothing is left.
    """
    found, left_out = [], []
    for table in tables:
        under = []
        for budget in budgets:
            try:
                under.append(Ground.of(table, budget))
            except BudgetError as error:
                left_out.append(f"{table.name} under {budget} is left out: {error}.")
        if under:
            found.append(tuple(under))
    if not found:
        raise BudgetError(f"--budgets: nothing is left to search: {left_out[0]}")
    return tuple(found), left_out


@dataclass(frozen=True, slots=True)
class Outcome:
    """The runs of one trial on one table.

    Attributes:
        areas: of each run, see `Ground.area`; budgets one after the other, seeds within them.
        seconds: that each took.
    """

    areas: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """Tries settings on one table after the other; every finished run is kept in the folder.

    Attributes:
        searcher: its name.
        fixed: settings that all trials share.
        grounds: where it searches.
        seeds: of the runs, the same for all trials.
        evaluations: of each run.
        folder: keeps the runs.
        progress: told of every evaluation.
    """

    searcher: str
    grounds: Grounds
    seeds: Sequence[int]
    evaluations: int
    folder: Path
    progress: RunsBar
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, number: int, settings: Mapping[str, Any]) -> Iterator[Outcome]:
        """Yield what came of each table; what is not asked for any more counts as done.

        Raises:
            KeyboardInterrupt: a run was interrupted.
        """
        variant = Variant(f"trial-{number}", self.searcher, {**self.fixed, **settings})
        left = sum(len(under) for under in self.grounds) * len(self.seeds)
        try:
            for under in self.grounds:
                areas, seconds = [], []
                for ground in under:
                    for seed in self.seeds:
                        area, spent = self._run(ground, variant, seed)
                        areas.append(area)
                        seconds.append(spent)
                        left -= 1
                yield Outcome(tuple(areas), tuple(seconds))
        except GeneratorExit:
            for _ in range(left):
                self.progress.end()

    def _run(self, ground: Ground, variant: Variant, seed: int) -> tuple[float, float]:
        folder = self.folder / variant.label
        make_folder(folder)
        job = ground.job(variant, seed, self.evaluations, folder)
        self.progress.begin(job.path.stem)
        run = job.read() or job.run(self.progress)
        if run is None:
            raise KeyboardInterrupt
        self.progress.end()
        return ground.area(run.curve, self.evaluations), run.seconds


@dataclass(frozen=True, eq=False)
class Tried:
    """A trial that has ended.

    Attributes:
        number: 0 for the shipped settings.
        settings: the tuned ones.
        outcomes: of the tables, in order.
        finished: whether it saw all tables; others were given up as they did worse than most.
    """

    number: int
    settings: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    finished: bool

    @property
    def value(self) -> float:
        """Mean area of its runs; smaller is better."""
        return fmean(area for outcome in self.outcomes for area in outcome.areas)

    @property
    def seconds(self) -> float:
        """What a run took in the mean."""
        return fmean(spent for outcome in self.outcomes for spent in outcome.seconds)


def excess(outcomes: Sequence[Outcome], shipped: Sequence[Outcome]) -> float:
    """Return the mean area less that of the shipped settings on the same runs."""
    return fmean(
        area - other
        for own, others in zip(outcomes, shipped, strict=False)  # it may not have seen all tables
        for area, other in zip(own.areas, others.areas, strict=True)
    )
