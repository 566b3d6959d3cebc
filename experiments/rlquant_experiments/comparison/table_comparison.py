"""Searchers compared on tables, whose optimum is known: the runs, and the report of all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import rlquant
from rlquant import Budget, TabularProblem, load_table
from rlquant.errors import BudgetError, SettingsError
from rlquant.files import make_folder, write_file
from rlquant.folder_lock import held
from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.comparison_report import made_by
from rlquant_experiments.comparison.regret import RegretScale
from rlquant_experiments.comparison.statistics.report import write_judgement
from rlquant_experiments.comparison.table_comparison_report import (
    marks_up_to,
    table_csv,
    table_section,
)
from rlquant_experiments.comparison.table_jobs import run_jobs
from rlquant_experiments.comparison.table_run import TableJob, TableRun
from rlquant_experiments.comparison.table_stratum import Stratum
from rlquant_experiments.comparison.variants import Variant

logger = logging.getLogger(__name__)

NEED_NETWORK = {"successive-halving", "knapsack-fisher"}
"""Searchers that screen at lower fidelities or look at gradients; a table has no network."""


def compare_on_tables(settings: CompareSettings, command: Sequence[str]) -> str | None:
    """Run what has not run yet and write the comparison.

    Args:
        settings: what to compare, on one table or on several.
        command: that the report names.

    Returns:
        The report, None when interrupted.

    Raises:
        RlquantError: settings, a table or a folder that cannot be used.
    """
    settings.require_table_settings()
    variants, budgets = settings.compared(), settings.limits()
    compared = [variant for variant in variants if variant.searcher not in NEED_NETWORK]
    left_out = [variant.label for variant in variants if variant not in compared]
    if not compared:
        raise SettingsError(f"--searchers: {without_network(left_out)}; name another one")
    labels = [variant.label for variant in compared]
    settings.highlighted(labels)  # a wrong label shows before anything runs
    settings.set_threads()
    strata, reasons = _strata(settings, budgets)
    for stratum in strata:  # who cannot search one of them is named before anything runs
        for variant in compared:
            variant.make().check(stratum.problem)
    jobs = {stratum: _jobs(stratum, compared, settings) for stratum in strata}
    if left_out:
        reasons.append(f"{without_network(left_out)}.")
    with held(settings.folder):
        for stratum in strata:
            make_folder(_folder(stratum.problem, settings))
        found = run_jobs([job for of in jobs.values() for job in of], settings.workers)
        if found is None:
            return None
        runs = iter(found)
        done = [
            Stratum(stratum.problem, stratum.scale, _by_label(of, runs))
            for stratum, of in jobs.items()
        ]
        if settings.table is None:
            return write_judgement(settings, done, command, reasons)
        return write_report(settings, done, facts(settings, done, command, reasons))


def _strata(
    settings: CompareSettings, budgets: Sequence[Budget]
) -> tuple[list[Stratum], list[str]]:
    """Return every table under every budget, still without runs, and why some are left out.

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
                strata.append(Stratum(problem, RegretScale.of(problem), {}))
            except (BudgetError, SettingsError) as error:
                if settings.table is not None:
                    raise
                reasons.append(f"{table.name} under {budget} is left out: {error}.")
    if not strata:
        raise SettingsError(f"--tables, --budgets: nothing is left to compare on: {reasons[0]}")
    for reason in reasons:
        logger.warning("%s", reason)
    return strata, reasons


def _folder(problem: TabularProblem, settings: CompareSettings) -> Path:
    """Return where the runs on a table are kept: of several, each has a folder of its own."""
    return settings.folder / problem.table.name if settings.tables else settings.folder


def _jobs(
    stratum: Stratum, variants: Sequence[Variant], settings: CompareSettings
) -> list[TableJob]:
    """Return every run on one table under one budget."""
    problem = stratum.problem
    folder = _folder(problem, settings)
    return [
        TableJob(problem, variant, seed, settings.most, folder / f"{name}.json")
        for variant, seed, name in settings.run_names(variants, problem.budget)
    ]


def _by_label(jobs: Sequence[TableJob], runs: Iterator[TableRun]) -> Mapping[str, list[TableRun]]:
    """Take the runs of these jobs, which come in their order."""
    found: dict[str, list[TableRun]] = {}
    for job in jobs:
        found.setdefault(job.variant.label, []).append(next(runs))
    return found


def without_network(labels: Sequence[str]) -> str:
    """Say why some searchers are not compared."""
    return f"{', '.join(labels)} left out, as a table has no network to train or differentiate"


# --- the report of one table


def facts(
    settings: CompareSettings,
    strata: Sequence[Stratum],
    command: Sequence[str],
    left_out: Sequence[str],
) -> str:
    """Return how the comparison was made, and what regret is."""
    table = strata[0].problem.table
    seconds = sum(run.seconds for one in strata for of in one.runs.values() for run in of)
    sentences = [
        made_by(command, settings.threads),
        f"The table holds {table.count:,} configurations of {table.task}, {table.fidelity}: "
        f"{len(table.options)} options in each of {len(table.facts)} groups of layers.",
        f"Each run may look at {settings.most} of them, and ends when it has found the "
        f"optimum; all runs took {seconds:.0f} s.",
        "Regret is the best loss so far less that of the optimum, over the same of the best "
        "uniform configuration: 1 there, 0 at the optimum. Means are over the seeds; searchers "
        "that no seed changes run once.",
        *left_out,
    ]
    return " ".join(sentences)


def write_report(settings: CompareSettings, strata: Sequence[Stratum], facts: str) -> str:
    """Write the report with figures and CSV into the run folder, and where it was asked for."""
    marks = marks_up_to(settings.most)
    name = strata[0].problem.table.name
    figures = [draw(one, f"{name}, {one.problem.budget}: mean regret") for one in strata]
    shares = [rlquant.probe(one.problem).shares[0] for one in strata]
    raw = {str(one.problem.budget): (one.runs, one.scale) for one in strata}
    for target in settings.targets:
        make_folder(target.parent)
        parts = [f"# Searchers on the table {name}", facts]
        for one, figure, share in zip(strata, figures, shares, strict=True):
            limit = settings.budget_name(one.problem.budget.limit)
            picture = f"{target.stem}-{limit}.png"
            write_file(target.with_name(picture), figure)
            parts.append(table_section(one.runs, one.scale, marks, picture, share))
        text = "\n\n".join(parts) + "\n"
        write_file(target, text)
        write_file(target.with_suffix(".csv"), table_csv(raw, marks))
    return text


def draw(stratum: Stratum, title: str) -> bytes:
    """Return the figure of one budget."""
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_experiments.comparison import regret_figures

    scale, runs = stratum.scale, stratum.runs
    order = scale.ranked(runs, max(len(run.curve) for of in runs.values() for run in of))
    curves = {name: [scale.regret(run.curve) for run in runs[name]] for name in order}
    return png(regret_figures.regret_figure(curves, title))
