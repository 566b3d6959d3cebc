"""Searchers compared on a table, whose optimum is known: the runs, and the report of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import rlquant
from rlquant import BudgetShare, TabularProblem, load_table
from rlquant.errors import SettingsError
from rlquant.whole_files import make_folder, write_file
from rlquant_agents.compare_settings import CompareSettings
from rlquant_agents.comparison_progress import RunsBar
from rlquant_agents.comparison_report import made_by
from rlquant_agents.regret import RegretScale
from rlquant_agents.table_comparison_report import marks_up_to, table_csv, table_section
from rlquant_agents.table_run import TableJob, TableRun, TableRuns

NEED_FIDELITIES = {"successive-halving"}
"""Searchers that screen at lower fidelities, of which a table has none."""


@dataclass(frozen=True)
class TableComparison:
    """All runs under one budget, and what they are judged by.

    Attributes:
        problem: what was searched.
        scale: its optimum and its uniform configuration.
        share: what the probe says of it.
        runs: of each searcher.
    """

    problem: TabularProblem
    scale: RegretScale
    share: BudgetShare
    runs: TableRuns


def compare_on_table(settings: CompareSettings, command: Sequence[str]) -> str | None:
    """Run what has not run yet and write the comparison.

    Args:
        settings: what to compare; its `table` is a name or a path.
        command: that the report names.

    Returns:
        The report, None when interrupted.

    Raises:
        RlquantError: settings, a table or a folder that cannot be used.
    """
    settings.require_table_settings()
    names, budgets = settings.names(), settings.limits()
    compared = [name for name in names if name not in NEED_FIDELITIES]
    if not compared:
        raise SettingsError(f"--searchers: {_left_out(names)}; name another one")
    settings.set_threads()
    table = load_table(str(settings.table))
    problems = [TabularProblem(table, budget) for budget in budgets]
    scales = [RegretScale.of(problem) for problem in problems]  # what cannot be shown is not run
    make_folder(settings.folder)
    jobs = [_jobs(problem, compared, settings) for problem in problems]
    runs = run_jobs([job for of in jobs for job in of])
    if runs is None:
        return None
    found = [
        TableComparison(problem, scale, rlquant.probe(problem).shares[0], _by_searcher(of, runs))
        for problem, scale, of in zip(problems, scales, jobs, strict=True)
    ]
    left_out = [name for name in names if name in NEED_FIDELITIES]
    return write_report(settings, found, facts(settings, found, command, left_out))


def _jobs(
    problem: TabularProblem, names: Sequence[str], settings: CompareSettings
) -> list[TableJob]:
    """Return every run under one budget."""
    limit = settings.budget_name(problem.budget.limit)
    return [
        TableJob(
            problem, name, seed, settings.most, settings.folder / f"{name}-{limit}-seed{seed}.json"
        )
        for name in names
        for seed in settings.seeds_of(name)
    ]


def run_jobs(jobs: Sequence[TableJob]) -> dict[TableJob, TableRun] | None:
    """Return every run, those that were kept and those that are made; None when interrupted."""
    runs = {job: run for job in jobs if (run := job.read()) is not None}
    waiting = [job for job in jobs if job not in runs]
    if not waiting:
        return runs
    progress = RunsBar(len(waiting), waiting[0].evaluations)
    with progress.bar:
        for job in waiting:
            progress.begin(job.path.stem)
            run = job.run(progress)
            if run is None:
                return None
            runs[job] = run
            progress.end()
    return runs


def _by_searcher(jobs: Sequence[TableJob], runs: Mapping[TableJob, TableRun]) -> TableRuns:
    found: dict[str, list[TableRun]] = {}
    for job in jobs:
        found.setdefault(job.searcher, []).append(runs[job])
    return found


def facts(
    settings: CompareSettings,
    found: Sequence[TableComparison],
    command: Sequence[str],
    left_out: Sequence[str],
) -> str:
    """Return how the comparison was made, and what regret is."""
    table = found[0].problem.table
    seconds = sum(run.seconds for one in found for of in one.runs.values() for run in of)
    sentences = [
        made_by(command, settings.threads),
        f"The table holds {table.count:,} configurations of {table.task}, {table.fidelity}: "
        f"{len(table.options)} options in each of {len(table.facts)} groups of layers.",
        f"Each run may look at {settings.most} of them, and ends when it has found the "
        f"optimum; all runs took {seconds:.0f} s.",
        "Regret is the best loss so far less that of the optimum, over the same of the best "
        "uniform configuration: 1 there, 0 at the optimum. Means are over the seeds; searchers "
        "that no seed changes run once.",
    ]
    if left_out:
        sentences.append(f"{_left_out(left_out)}.")
    return " ".join(sentences)


def _left_out(names: Sequence[str]) -> str:
    return f"{', '.join(names)} is left out, as a table has no lower fidelity to screen at"


def write_report(settings: CompareSettings, found: Sequence[TableComparison], facts: str) -> str:
    """Write the report with figures and CSV into the run folder, and where it was asked for."""
    marks = marks_up_to(settings.most)
    name = found[0].problem.table.name
    figures = [draw(one, f"{name}, {one.problem.budget}: mean regret") for one in found]
    raw = {str(one.problem.budget): (one.runs, one.scale) for one in found}
    for target in settings.targets:
        make_folder(target.parent)
        parts = [f"# Searchers on the table {name}", facts]
        for one, figure in zip(found, figures, strict=True):
            limit = settings.budget_name(one.problem.budget.limit)
            picture = f"{target.stem}-{limit}.png"
            write_file(target.with_name(picture), figure)
            parts.append(table_section(one.runs, one.scale, marks, picture, one.share))
        text = "\n\n".join(parts) + "\n"
        write_file(target, text)
        write_file(target.with_suffix(".csv"), table_csv(raw, marks))
    return text


def draw(comparison: TableComparison, title: str) -> bytes:
    """Return the figure of one budget."""
    from rlquant_agents import figures, regret_figures  # matplotlib imports slowly

    scale, runs = comparison.scale, comparison.runs
    order = scale.ranked(runs, max(len(run.curve) for of in runs.values() for run in of))
    curves = {name: [scale.regret(run.curve) for run in runs[name]] for name in order}
    return figures.png(regret_figures.regret_figure(curves, title))
