"""A comparison of searchers as a person types it, on a task or on a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from rlquant import Budget
from rlquant.errors import SettingsError
from rlquant_agents.searcher import make_searcher, searchers
from rlquant_agents.task_settings import TaskSettings

DETERMINISTIC = {"uniform", "knapsack"}
"""Searchers that no seed changes: they run once."""
TASK_RUNS, TABLE_RUNS = 3, 10
TASK_EVALUATIONS, TABLE_EVALUATIONS = 200, 80
BOTH = ("quantity", "threads")
"""What a table takes of a task's settings; all else was decided when it was made."""


@dataclass(frozen=True, kw_only=True)
class CompareSettings(TaskSettings):
    """A comparison of searchers.

    Attributes:
        table: compare on a table instead, whose optimum is known: its name, e.g. digits-cnn, or
            the path of an .rlt file.
        budgets: the limits, in units of --quantity.
        searchers: names of searchers; all of them by default.
        seeds: runs of each searcher, with the seeds 0, 1, ...; those that no seed changes run once.
            By default 3, on a table 10.
        evaluations: distinct configurations that each run may measure; by default 200, on a table
            80, which all searchers together do in less than two minutes.
        out: folder for the runs; by default runs/compare-<task> or runs/compare-<table>.
        store: file that keeps every evaluation of a task; by default evaluations.sqlite beside the
            folder.
        report: Markdown file to write, e.g. docs/results/searchers.md; figures and a CSV of the
            runs go beside it.
    """

    table: str | None = None
    budgets: tuple[float, ...] = (2.5, 3.0)
    searchers: tuple[str, ...] = ()
    seeds: int | None = None
    evaluations: int | None = None
    out: Path | None = None
    store: Path | None = None
    report: Path | None = None

    @property
    def runs_each(self) -> int:
        """Runs of each searcher that a seed changes."""
        if self.seeds is None:
            return TASK_RUNS if self.table is None else TABLE_RUNS
        return self.seeds

    @property
    def most(self) -> int:
        """Distinct configurations that each run may measure."""
        if self.evaluations is None:
            return TASK_EVALUATIONS if self.table is None else TABLE_EVALUATIONS
        return self.evaluations

    @property
    def folder(self) -> Path:
        """The folder to write."""
        name = self.file_name if self.table is None else Path(self.table).stem
        return self.out or Path("runs") / f"compare-{name}"

    @property
    def targets(self) -> tuple[Path, ...]:
        """The reports to write."""
        inside = self.folder / "report.md"
        return (inside,) if self.report is None else (inside, self.report)

    def names(self) -> tuple[str, ...]:
        """Return the searchers to compare.

        Raises:
            UnknownNameError: no searcher has that name.
            SettingsError: a searcher named twice, or no run to make.
        """
        names = self.searchers or searchers()
        if self.runs_each < 1 or self.most < 1 or not self.budgets:
            raise SettingsError("--seeds, --evaluations and --budgets need at least one each")
        for name in names:
            make_searcher(name)
        require_distinct("--searchers", names)
        return names

    def limits(self) -> tuple[Budget, ...]:
        """Return the budgets; `SettingsError` where one is given twice, `BudgetError` for none."""
        budgets = tuple(self.budget_of(limit) for limit in self.budgets)
        require_distinct("--budgets", [str(budget) for budget in budgets])
        return budgets

    def seeds_of(self, searcher: str) -> range:
        """Return the seeds that a searcher runs with."""
        return range(1 if searcher in DETERMINISTIC else self.runs_each)

    def require_table_settings(self) -> None:
        """Raise `SettingsError` where a setting of tasks is given for a table."""
        for field in fields(TaskSettings):
            given = getattr(self, field.name)
            if field.name not in BOTH and given != field.default:
                flag = field.name.replace("_", "-")
                raise SettingsError(
                    f"--{flag} plays no part with --table: a table holds one task and one space; "
                    f"leave out one of the two"
                )
        if self.store is not None:
            raise SettingsError("--store plays no part with --table: nothing is measured")


def require_distinct(flag: str, values: Sequence[str]) -> None:
    """Raise `SettingsError` where something is named twice: its runs would be one."""
    twice = sorted({value for value in values if list(values).count(value) > 1})
    if twice:
        raise SettingsError(f"{flag} names {', '.join(twice)} twice; give each once")
