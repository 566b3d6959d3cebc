"""A comparison of searchers on any problems: the runs that are missing, and the report of all."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlquant import Budget, TabularProblem, load_table
from rlquant.errors import BudgetError, SettingsError
from rlquant.files import make_folder
from rlquant.folder_lock import held
from rlquant.problem.protocol import Refines
from rlquant.tasks import Task
from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.live import evaluation_seconds, with_test
from rlquant_experiments.comparison.report import write_comparison
from rlquant_experiments.comparison.runs import Job, Run, run_jobs
from rlquant_experiments.comparison.stratum import RegretScale, Stratum
from rlquant_experiments.comparison.variants import Variant

logger = logging.getLogger(__name__)

NEED_NETWORK = {"successive-halving", "knapsack-fisher"}
"""Searchers that screen at lower fidelities or look at gradients; a table has no network."""


@dataclass(frozen=True, eq=False)
class _Searched:
    """What is searched.

    Attributes:
        strata: problems under budgets, still without runs.
        left_out: what is not compared, and why, in sentences.
        task: where its live network is searched.
    """

    strata: Sequence[Stratum]
    left_out: Sequence[str] = ()
    task: Task | None = None


def compare(settings: CompareSettings, command: Sequence[str]) -> str | None:
    """Run what has not run yet and write the comparison.

    Args:
        settings: what to compare.
        command: that the report names.

    Returns:
        The report, None when interrupted.

    Raises:
        RlquantError: settings, data, a table or a folder that cannot be used.
    """
    settings.check()
    variants, budgets = settings.compared(), settings.limits()
    compared = [v for v in variants if not (settings.on_tables and v.searcher in NEED_NETWORK)]
    missing = ", ".join(variant.label for variant in variants if variant not in compared)
    reason = f"{missing} left out, as a table has no network to train or differentiate"
    if not compared:
        raise SettingsError(f"--searchers: {reason}; name another one")
    settings.highlighted([variant.label for variant in compared])  # before anything runs
    settings.set_threads()
    searched = (_on_tables if settings.on_tables else _on_task)(settings, budgets)
    for stratum in searched.strata:
        for variant in compared:
            variant.make().check(stratum.problem)
    with held(settings.folder):
        jobs = [_jobs(stratum, compared, settings) for stratum in searched.strata]
        runs = run_jobs([job for of in jobs for job in of], settings.workers)
        if runs is None:
            return None
        following = iter(runs)
        strata = [
            _with_runs(stratum, of, following)
            for stratum, of in zip(searched.strata, jobs, strict=True)
        ]
        left_out = [*searched.left_out, *([f"{reason}."] if missing else [])]
        if searched.task is not None:
            problem = strata[0].problem
            assert isinstance(problem, Refines)
            cost = evaluation_seconds(problem)
            strata = [with_test(stratum, searched.task.test, cost) for stratum in strata]
        return write_comparison(settings, strata, command, left_out, searched.task)


def _on_task(settings: CompareSettings, budgets: Sequence[Budget]) -> _Searched:
    """Load a task, whose network is searched under each budget."""
    settings.space()  # mistakes in names and options show before anything is loaded
    task = settings.load()
    make_folder(settings.folder.parent)
    store = settings.store or settings.folder.parent / "evaluations.sqlite"
    problem = settings.problem(task, budgets[0], store)
    strata = [Stratum(settings.task, problem.with_budget(budget), {}) for budget in budgets]
    return _Searched(strata, task=task)


def _on_tables(settings: CompareSettings, budgets: Sequence[Budget]) -> _Searched:
    """Load every table, searched under each budget.

    Raises:
        BudgetError: not even the cheapest configuration of the one table keeps a budget.
        SettingsError: the one table's regret has no scale, or none of several has one.
    """
    strata, reasons = [], []
    for name in settings.table_list():
        table = load_table(name)
        if settings.tables:  # files are told apart by their names, whatever is written in them
            table = replace(table, name=Path(name).stem)
        for budget in budgets:
            try:
                problem = TabularProblem(table, budget)
                strata.append(Stratum(table.name, problem, {}, RegretScale.of(problem)))
            except (BudgetError, SettingsError) as error:
                if settings.table is not None:
                    raise
                reasons.append(f"{table.name} under {budget} is left out: {error}.")
    if not strata:
        raise SettingsError(f"--tables, --budgets: nothing is left to compare on: {reasons[0]}")
    for reason in reasons:
        logger.warning("%s", reason)
    return _Searched(strata, reasons)


def _jobs(stratum: Stratum, variants: Sequence[Variant], settings: CompareSettings) -> list[Job]:
    """Return every run of a stratum; of several tables, each has a folder of its own."""
    folder = settings.folder / stratum.source if settings.tables else settings.folder
    make_folder(folder)
    optimum = -math.inf if stratum.scale is None else stratum.scale.optimum.loss
    return [
        Job(stratum.problem, variant, seed, settings.most, folder / f"{name}.json", optimum)
        for variant, seed, name in settings.run_names(variants, stratum.budget)
    ]


def _with_runs(stratum: Stratum, jobs: Sequence[Job], runs: Iterator[Run]) -> Stratum:
    """Take the runs of these jobs, which come in their order."""
    found: dict[str, list[Run]] = {}
    for job in jobs:
        found.setdefault(job.variant.label, []).append(next(runs))
    return replace(stratum, runs=found)
