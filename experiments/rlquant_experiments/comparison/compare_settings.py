"""Settings of a comparison of searchers, on a task or on tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from rlquant import Budget, table_names
from rlquant.errors import SettingsError, unknown_name, whole_number
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.search.searcher import searchers
from rlquant_experiments.baselines.registration import register_baselines
from rlquant_experiments.comparison.variants import Variant, read_variants

TASK_RUNS, TABLE_RUNS = 3, 10
TASK_EVALUATIONS, TABLE_EVALUATIONS = 200, 80
BOTH = ("quantity", "threads")
"""What a table takes of a task's settings; all else was decided when it was made."""
ALL = "all"
"""Stands for every table that comes with rlquant."""
AGENTS = ("dyna-ppo", "masked-ppo")
"""Whom all others are compared with unless another one is named: the first that takes part."""
ONLY_WHERE_NAMED = ("auto", "gp")
"""One searches as another does, the other takes half a minute a run."""


@dataclass(frozen=True, kw_only=True)
class CompareSettings(TaskSettings):
    """A comparison of searchers.

    Attributes:
        table: compare on a table instead, whose optimum is known: its name, e.g. digits-cnn, or
            the path of an .rlt file.
        tables: compare on several tables, with statistics over all of them; "all" for every
            one that comes with rlquant.
        budgets: the limits, in units of --quantity.
        searchers: names of searchers; by default all but auto and gp, none where --variants are
            given.
        variants: JSON file with searchers under other settings to compare as well,
            {"label": {"searcher": "name", "settings": {"setting": value}}}.
        seeds: runs of each searcher, with successive seeds; those that no seed changes run once.
            By default 3, on a table 10.
        first_seed: the first of them.
        evaluations: distinct configurations that each run may measure; by default 200, on a table
            80.
        workers: processes that run searches on tables at the same time.
        against: label of the one that every other is compared with; by default dyna-ppo or
            masked-ppo where they take part, else the first.
        agents: on --tables, labels to draw in colour beside that of --against; by default all with
            ppo in them.
        out: folder for the runs; by default runs/compare-<task>, runs/compare-<table> or
            runs/compare-tables.
        store: file that keeps every evaluation of a task; by default evaluations.sqlite beside the
            folder.
        report: Markdown file to write, e.g. docs/results/searchers.md; figures and a CSV of the
            runs go beside it.
    """

    table: str | None = None
    tables: tuple[str, ...] = ()
    budgets: tuple[float, ...] = (2.5, 3.0)
    searchers: tuple[str, ...] = ()
    variants: Path | None = None
    seeds: int | None = None
    first_seed: int = 0
    evaluations: int | None = None
    workers: int = 1
    against: str | None = None
    agents: tuple[str, ...] = ()
    out: Path | None = None
    store: Path | None = None
    report: Path | None = None

    @property
    def on_tables(self) -> bool:
        """Whether tables are searched instead of a live task."""
        return self.table is not None or bool(self.tables)

    @property
    def runs_each(self) -> int:
        """Runs of each searcher that a seed changes."""
        if self.seeds is None:
            return TABLE_RUNS if self.on_tables else TASK_RUNS
        return self.seeds

    @property
    def most(self) -> int:
        """Distinct configurations that each run may measure."""
        if self.evaluations is None:
            return TABLE_EVALUATIONS if self.on_tables else TASK_EVALUATIONS
        return self.evaluations

    @property
    def folder(self) -> Path:
        """The folder to write."""
        name = self.file_name if self.table is None else Path(self.table).stem
        return self.out or Path("runs") / f"compare-{'tables' if self.tables else name}"

    @property
    def targets(self) -> tuple[Path, ...]:
        """The reports to write."""
        inside = self.folder / "report.md"
        return (inside,) if self.report is None else (inside, self.report)

    def compared(self) -> tuple[Variant, ...]:
        """Return what is compared: searchers by their names, then variants.

        Raises:
            UnknownNameError: no searcher has that name.
            SettingsError: a label given twice, a setting that a searcher does not take, or no run
                to make.
            FileFormatError, StorageError: no file of variants.
        """
        if self.runs_each < 1 or self.most < 1 or not self.budgets:
            raise SettingsError("--seeds, --evaluations and --budgets need at least one each")
        whole_number("--first-seed", self.first_seed, 0)
        register_baselines()
        variants = () if self.variants is None else read_variants(self.variants)
        every = tuple(name for name in searchers() if name not in ONLY_WHERE_NAMED)
        names = self.searchers or (() if variants else every)
        require_distinct("--searchers", names)
        found = (*map(Variant.plain, names), *variants)
        for variant in found:
            variant.make()
        require_distinct("--searchers with --variants", [variant.label for variant in found])
        return found

    def chosen(self, labels: Sequence[str]) -> str:
        """Return the label that all others are compared with; `UnknownNameError` for none."""
        if self.against is None:
            return next((agent for agent in AGENTS if agent in labels), labels[0])
        if self.against not in labels:
            raise unknown_name("label for --against", self.against, labels)
        return self.against

    def highlighted(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Return what to draw in colour, the chosen one first; `UnknownNameError` for no label."""
        for label in self.agents:
            if label not in labels:
                raise unknown_name("label for --agents", label, labels)
        agents = self.agents or [label for label in labels if "ppo" in label]
        return tuple(dict.fromkeys([self.chosen(labels), *agents]))

    def limits(self) -> tuple[Budget, ...]:
        """Return the budgets; `SettingsError` where one is given twice, `BudgetError` for none."""
        budgets = tuple(self.budget_of(limit) for limit in self.budgets)
        require_distinct("--budgets", [str(budget) for budget in budgets])
        return budgets

    def seeds_of(self, variant: Variant) -> range:
        """Return the seeds that a searcher runs with."""
        count = 1 if variant.runs_once else self.runs_each
        return range(self.first_seed, self.first_seed + count)

    def run_names(
        self, variants: Sequence[Variant], budget: Budget
    ) -> list[tuple[Variant, int, str]]:
        """Return every run under a budget: what searches, its seed, and the name of its file."""
        limit = self.budget_name(budget.limit)
        return [
            (variant, seed, f"{variant.label}-{limit}-seed{seed}")
            for variant in variants
            for seed in self.seeds_of(variant)
        ]

    def table_list(self) -> tuple[str, ...]:
        """Return the names or paths of the tables to search.

        Raises:
            SettingsError: a table given twice, or one table and several.
        """
        if self.table is not None:
            if self.tables:
                raise SettingsError("--table and --tables both name tables; give one of them")
            return (self.table,)
        names = table_names() if self.tables == (ALL,) else self.tables
        require_distinct("--tables", [Path(name).stem for name in names])
        return names

    def check(self) -> None:
        """Raise `SettingsError` for settings of tasks on a table, and the other way round."""
        whole_number("--workers", self.workers, 1)
        if not self.on_tables:
            if self.workers != 1:
                raise SettingsError(
                    f"--workers {self.workers} cannot be used without tables: the evaluations of a "
                    f"task share what they compute in one process; leave it out"
                )
            return
        flag = "--tables" if self.tables else "--table"
        given = [f.name for f in fields(TaskSettings) if getattr(self, f.name) != f.default]
        for name in [*given, *(["store"] if self.store is not None else [])]:
            if name not in BOTH:
                raise SettingsError(
                    f"--{name.replace('_', '-')} cannot be combined with {flag}: a table holds one "
                    f"task and one space, and nothing is measured; leave out one of the two"
                )


def require_distinct(flag: str, values: Sequence[str]) -> None:
    """Raise `SettingsError` where something is named twice: its runs would be one."""
    twice = sorted({value for value in values if list(values).count(value) > 1})
    if twice:
        raise SettingsError(f"{flag} names {', '.join(twice)} twice; give each once")
