"""Compare searchers on one task with equal evaluations: tables, figures and a report.

Every finished run is kept at once; started again with the same settings, it goes on.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from rlquant import QuantizationConfig, QuantizationProblem, Score, measure
from rlquant.errors import SettingsError
from rlquant.tasks import Task
from rlquant.whole_files import make_folder, write_file
from rlquant_agents import (
    Callback,
    Evaluation,
    Session,
    make_searcher,
    search_problem,
    searchers,
)
from rlquant_agents.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.comparison import Run, Runs, ranked, read_best_losses
from rlquant_agents.comparison_report import runs_csv, section
from rlquant_agents.run_folder import CONFIG, EVALUATIONS, finished_result
from rlquant_agents.run_settings import describe_run
from rlquant_agents.task_settings import TaskSettings

DETERMINISTIC = {"uniform", "knapsack"}
"""Searchers that no seed changes: they run once."""
MARKS = (25, 50, 100, 200, 400, 800)
TIMED_EVALUATIONS = 9


@dataclass(frozen=True, kw_only=True)
class CompareSettings(TaskSettings):
    """A comparison of searchers.

    Attributes:
        budgets: the limits, in units of --quantity.
        searchers: names of searchers; all of them by default.
        seeds: runs of each searcher, with the seeds 0, 1, ...; those that no seed changes run once.
        evaluations: distinct configurations that each run may measure.
        out: folder for the runs; by default runs/compare-<task>.
        store: file that keeps every evaluation; by default evaluations.sqlite beside the folder.
        report: Markdown file to write, e.g. docs/results/searchers.md; figures and a CSV of the
            runs go beside it.
    """

    budgets: tuple[float, ...] = (2.5, 3.0)
    searchers: tuple[str, ...] = ()
    seeds: int = 3
    evaluations: int = 200
    out: Path | None = None
    store: Path | None = None
    report: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder to write."""
        return self.out or Path("runs") / f"compare-{self.file_name}"


@dataclass(frozen=True)
class Job:
    """One run to do, and where it stands."""

    problem: QuantizationProblem
    searcher: str
    seed: int
    evaluations: int
    folder: Path

    def result(self) -> dict[str, Any] | None:
        """Return what the run wrote, if it is finished."""
        searcher = make_searcher(self.searcher)
        document = describe_run(self.problem, searcher, self.evaluations, self.seed)
        return finished_result(self.folder, document)


class JobsBar(Callback):
    """One progress bar over all runs, with the time left for all of them."""

    def __init__(self, runs: int, evaluations: int) -> None:
        self._evaluations = evaluations
        self._done = 0
        self.bar = tqdm(total=runs * evaluations, unit="evaluation", mininterval=0.5)

    def begin(self, job: Job) -> None:
        """Name the run."""
        self.bar.set_description(job.folder.name)

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Move on by one."""
        self.bar.update(1)

    def end(self) -> None:
        """Count what the run did not use as done, so that the time left stays right."""
        self._done += self._evaluations
        self.bar.update(self._done - self.bar.n)


def run(settings: CompareSettings, command: Sequence[str]) -> int:
    """Run what has not run yet, then write and show the comparison."""
    names = settings.searchers or searchers()
    if settings.seeds < 1 or settings.evaluations < 1 or not settings.budgets:
        raise SettingsError("--seeds, --evaluations and --budgets need at least one each")
    for name in names:
        make_searcher(name)
    settings.space()  # mistakes in names and options show before anything is loaded
    budgets = [settings.budget_of(limit) for limit in settings.budgets]
    require_distinct("--searchers", names)
    require_distinct("--budgets", list(map(str, budgets)))
    make_folder(settings.folder)
    task = settings.load()
    store = settings.store or settings.folder.parent / "evaluations.sqlite"
    problem = settings.problem(task, budgets[0], store)
    jobs = {str(b): make_jobs(problem.with_budget(b), names, settings) for b in budgets}

    if not run_jobs([job for of in jobs.values() for job in of], settings.task):
        print(f"interrupted; the same command goes on from {settings.folder}", file=sys.stderr)
        return INTERRUPTED
    cost = evaluation_seconds(problem)
    found = {budget: collect(of, task, cost) for budget, of in jobs.items()}
    report = write_report(settings, found, facts(settings, problem, task, command, cost), problem)
    print(report)
    return 0


def require_distinct(flag: str, values: Sequence[str]) -> None:
    """Raise `SettingsError` where something is named twice: its runs would be one."""
    twice = sorted({value for value in values if list(values).count(value) > 1})
    if twice:
        raise SettingsError(f"{flag} names {', '.join(twice)} twice; give each once")


def make_jobs(
    problem: QuantizationProblem, names: Sequence[str], settings: CompareSettings
) -> list[Job]:
    """Return every run under one budget."""
    limit = settings.budget_name(problem.budget.limit)
    folder, evaluations = settings.folder, settings.evaluations
    return [
        Job(problem, name, seed, evaluations, folder / f"{name}-{limit}-seed{seed}")
        for name in names
        for seed in range(1 if name in DETERMINISTIC else settings.seeds)
    ]


def run_jobs(jobs: Sequence[Job], task: str) -> bool:
    """Run the jobs that are not finished; return False when interrupted."""
    waiting = [job for job in jobs if job.result() is None]
    if not waiting:
        return True
    progress = JobsBar(len(waiting), waiting[0].evaluations)
    with progress.bar:
        for job in waiting:
            progress.begin(job)
            result = search_problem(
                job.problem,
                searcher=job.searcher,
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
        config = QuantizationConfig.from_json((job.folder / CONFIG).read_text("utf-8"))
        curve = read_best_losses(job.folder / EVALUATIONS)
        one = Run(
            searcher=job.searcher,
            seed=job.seed,
            score=Score.from_json(json.dumps(result["score"])),
            test=measure(job.problem.build(config), task.test),
            curve=curve,
            episodes=result["episodes"],
            seconds=result["seconds_beside_evaluations"] + cost * len(curve),
            stopped=result["stopped"],
            notes=tuple(result["notes"]),
        )
        runs.setdefault(job.searcher, []).append(one)
    return runs


def evaluation_seconds(problem: QuantizationProblem) -> float:
    """Return the median time of an evaluation whose weights were quantized before."""
    generator = np.random.default_rng(0)
    times = []
    for _ in range(TIMED_EVALUATIONS):
        config = problem.feasible.config(problem.feasible.sample(generator))
        problem.evaluator.measure(config)
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
) -> str:
    """Return how the comparison was made: command, machine, float network."""
    score, tested = problem.float_score, measure(problem.network, task.test)
    return (
        f"Made on {date.today().isoformat()} by\n\n    {shlex.join(command)}\n\n"
        f"with {os.cpu_count()} cores ({settings.threads} used by torch), Python "
        f"{platform.python_version()}, torch {torch.__version__}. Each run may measure "
        f"{settings.evaluations} distinct configurations; all searchers ask the same evaluator. "
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
    targets = [settings.folder / "report.md"]
    if settings.report is not None:
        make_folder(settings.report.parent)
        targets.append(settings.report)
    marks = [m for m in MARKS if m < settings.evaluations] + [settings.evaluations]
    limits = dict(zip(found, map(settings.budget_name, settings.budgets), strict=True))
    figures = {
        budget: draw(runs, problem, f"{settings.task}, {budget}: best validation loss")
        for budget, runs in found.items()
    }
    for target in targets:
        parts = [f"# Searchers on {settings.task}", facts]
        for budget, runs in found.items():
            name = f"{target.stem}-{limits[budget]}.png"
            write_file(target.with_name(name), figures[budget])
            parts.append(section(budget, runs, marks, name))
        text = "\n\n".join(parts) + "\n"
        write_file(target, text)
        write_file(target.with_suffix(".csv"), runs_csv(found))
    return text


def draw(runs: Runs, problem: QuantizationProblem, title: str) -> bytes:
    """Return the figure of one budget."""
    from rlquant_agents import figures  # matplotlib imports slowly

    lines = {name: runs[name][0].score for name in runs if name == "uniform"}
    curves = {name: [run.curve for run in runs[name]] for name in ranked(runs) if name not in lines}
    references = {"float": problem.float_score, **lines}
    return figures.png(figures.comparison_figure(curves, references, title))


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(CompareSettings, partial(run, command=command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
