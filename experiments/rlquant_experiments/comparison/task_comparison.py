"""Searchers compared on a task: the runs that are missing, and the report of all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from rlquant import Budget, QuantizationConfig, QuantizationProblem, measure
from rlquant.documents import read_json
from rlquant.files import make_folder, reading, write_file
from rlquant.folder_lock import held
from rlquant.tasks import Task
from rlquant_agents.api import search_problem
from rlquant_agents.reporting.run_files import CONFIG, EVALUATIONS
from rlquant_agents.runs.run_folder import Finished, finished_result
from rlquant_agents.search.run_settings import describe_run
from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.comparison import (
    Run,
    Runs,
    ranked,
    read_best_losses,
    violations,
)
from rlquant_experiments.comparison.comparison_progress import RunsBar
from rlquant_experiments.comparison.comparison_report import made_by, runs_csv, section
from rlquant_experiments.comparison.held_out import measure_images
from rlquant_experiments.comparison.variants import DETERMINISTIC, Variant

MARKS = (25, 50, 100, 200, 400, 800)
TIMED_EVALUATIONS = 9


@dataclass(frozen=True)
class Job:
    """One run to do, and where it stands."""

    problem: QuantizationProblem
    variant: Variant
    seed: int
    evaluations: int
    folder: Path

    def result(self) -> Finished | None:
        """Return what the run wrote, if it is finished."""
        searcher = self.variant.make()
        document = describe_run(self.problem, searcher, self.evaluations, self.seed)
        return finished_result(self.folder, document)


def compare_on_task(settings: CompareSettings, command: Sequence[str]) -> str | None:
    """Run what has not run yet and write the comparison.

    Args:
        settings: what to compare.
        command: that the report names.

    Returns:
        The report, None when interrupted.

    Raises:
        RlquantError: settings, data or a folder that cannot be used.
    """
    settings.require_task_settings()
    variants, budgets = settings.compared(), settings.limits()
    settings.chosen([variant.label for variant in variants])
    settings.space()  # mistakes in names and options show before anything is loaded
    with held(settings.folder):
        return _compare(settings, variants, budgets, command)


def _compare(
    settings: CompareSettings,
    variants: Sequence[Variant],
    budgets: Sequence[Budget],
    command: Sequence[str],
) -> str | None:
    """Do the runs in a folder that is held, and report on them."""
    task = settings.load()
    store = settings.store or settings.folder.parent / "evaluations.sqlite"
    problem = settings.problem(task, budgets[0], store)
    jobs = {str(b): make_jobs(problem.with_budget(b), variants, settings) for b in budgets}
    if not run_jobs([job for of in jobs.values() for job in of], settings.task):
        return None
    cost = evaluation_seconds(problem)
    found = {budget: collect(of, task, cost) for budget, of in jobs.items()}
    over = sum(len(violations(found[str(budget)], budget)) for budget in budgets)
    words = facts(settings, problem, task, command, cost, over)
    return write_report(settings, found, words, problem)


def make_jobs(
    problem: QuantizationProblem, variants: Sequence[Variant], settings: CompareSettings
) -> list[Job]:
    """Return every run under one budget."""
    return [
        Job(problem, variant, seed, settings.most, settings.folder / name)
        for variant, seed, name in settings.run_names(variants, problem.budget)
    ]


def run_jobs(jobs: Sequence[Job], task: str) -> bool:
    """Run the jobs that are not finished; return False when interrupted."""
    waiting = [job for job in jobs if job.result() is None]
    if not waiting:
        return True
    progress = RunsBar(len(waiting), waiting[0].evaluations)
    with progress.bar:
        for job in waiting:
            progress.begin(job.folder.name)
            result = search_problem(
                job.problem,
                searcher=job.variant.make(),
                evaluations=job.evaluations,
                seed=job.seed,
                out=job.folder,
                callback=progress,
                remember={"task": task},
            )
            if result.stopped == "interrupted":
                return False
            progress.end()
    return True


def collect(jobs: Sequence[Job], task: Task, cost: float) -> Runs:
    """Read finished runs and measure their final networks on the test set.

    Args:
        jobs: of one budget.
        task: has the test set.
        cost: seconds of an evaluation.
    """
    runs: dict[str, list[Run]] = {}
    for job in jobs:
        result = job.result()
        assert result is not None
        with reading(job.folder / CONFIG):
            config = QuantizationConfig.from_document(read_json(job.folder / CONFIG))
        curve = read_best_losses(job.folder / EVALUATIONS)
        test, images = measure_images(job.problem.build(config), task.test)
        one = Run(
            searcher=job.variant.label,
            seed=job.seed,
            score=result["score"],
            test=test,
            curve=curve,
            episodes=result["episodes"],
            seconds=result["seconds_beside_evaluations"] + cost * len(curve),
            stopped=result["stopped"],
            notes=tuple(result["notes"]),
            evaluator_seconds=cost * len(curve),
            held_out=images,
        )
        runs.setdefault(job.variant.label, []).append(one)
    return runs


def evaluation_seconds(problem: QuantizationProblem) -> float:
    """Return the median time of evaluations, each of a configuration not measured before.

    One that was measured before would be answered from the prefixes that it shares with itself.
    """
    generator = np.random.default_rng(0)
    times = []
    for _ in range(TIMED_EVALUATIONS):
        config = problem.feasible.config(problem.feasible.sample(generator))
        start = time.perf_counter()
        problem.evaluator.measure(config)
        times.append(time.perf_counter() - start)
    return median(times)


def facts(
    settings: CompareSettings,
    problem: QuantizationProblem,
    task: Task,
    command: Sequence[str],
    cost: float,
    over: int,
) -> str:
    """Return how the comparison was made: command, machine, float network.

    Args:
        settings: what was compared.
        problem: under any of the budgets.
        task: has the test set.
        command: that the report names.
        cost: seconds of an evaluation.
        over: results above their budget.
    """
    score, tested = problem.float_score, measure(problem.network, task.test)
    return (
        f"{made_by(command, settings.threads)} Each run may measure {settings.most} distinct "
        f"configurations; all searchers ask the same evaluator; seeds {settings.first_seed} to "
        f"{settings.first_seed + settings.runs_each - 1}. Results over the budget: {over}. "
        f"Float network: validation loss {score.loss:.4f}, validation accuracy "
        f"{score.accuracy:.4f}, test accuracy {tested.accuracy:.4f}. Test accuracy is that of the "
        f"configuration with the best validation loss; no search saw the test set. Seconds are "
        f"the searcher's own time and {cost:.3f} s for each evaluation (measured), whatever other "
        f"runs had left in the store. Searchers that no seed changes "
        f"({', '.join(sorted(DETERMINISTIC))}) run once."
    )


def write_report(
    settings: CompareSettings, found: Mapping[str, Runs], facts: str, problem: QuantizationProblem
) -> str:
    """Write the report with figures and CSV into the run folder, and where it was asked for."""
    marks = [m for m in MARKS if m < settings.most] + [settings.most]
    limits = dict(zip(found, map(settings.budget_name, settings.budgets), strict=True))
    figures = {
        budget: draw(runs, problem, f"{settings.task}, {budget}: best validation loss")
        for budget, runs in found.items()
    }
    for target in settings.targets:
        make_folder(target.parent)
        parts = [f"# Searchers on {settings.task}", facts]
        for budget, runs in found.items():
            name = f"{target.stem}-{limits[budget]}.png"
            write_file(target.with_name(name), figures[budget])
            parts.append(section(budget, runs, marks, name, settings.chosen(list(runs))))
        text = "\n\n".join(parts) + "\n"
        write_file(target, text)
        write_file(target.with_suffix(".csv"), runs_csv(found))
    return text


def draw(runs: Runs, problem: QuantizationProblem, title: str) -> bytes:
    """Return the figure of one budget."""
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly
    from rlquant_agents.reporting.figures import comparison_figure

    lines = {name: runs[name][0].score for name in runs if name == "uniform"}
    curves = {name: [run.curve for run in runs[name]] for name in ranked(runs) if name not in lines}
    references = {"float": problem.float_score, **lines}
    return png(comparison_figure(curves, references, title))
