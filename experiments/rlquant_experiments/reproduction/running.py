"""Doing the runs that are not done yet, each kept as soon as it is finished."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

from rlquant.errors import SettingsError
from rlquant.folder_lock import held
from rlquant_experiments.reproduction.runs import Job, Progress, Results, Run

logger = logging.getLogger(__name__)


def run_jobs(jobs: Sequence[Job], folder: Path, *, progress: bool = True) -> Results:
    """Do every run whose file is not in `folder`; an interrupted call goes on where it was.

    Args:
        jobs: all runs, in the order in which they are done.
        folder: keeps one file per run; made where it is missing.
        progress: show a bar with steps a second and the time left, on standard error.

    Raises:
        SettingsError: two jobs are the same run.
        FileFormatError: a file of a finished run is damaged.
        StorageError: the folder cannot be written, or another run holds it.
    """
    twice = [name for name, count in Counter(job.name for job in jobs).items() if count > 1]
    if twice:
        raise SettingsError(f"asked for twice: {'; '.join(twice)}; ask for each run once")
    with held(folder):
        return _results(jobs, folder, progress)


def _results(jobs: Sequence[Job], folder: Path, progress: bool) -> Results:
    """Do what is missing in a folder that is held."""
    from tqdm import tqdm

    found = {job.name: Run.read(folder, job) for job in jobs}
    waiting = [job for job in jobs if found[job.name] is None]
    if len(waiting) < len(jobs):
        logger.info("%d of %d runs are in %s", len(jobs) - len(waiting), len(jobs), folder)
    total = sum(job.steps for job in waiting)
    with tqdm(total=total, unit="step", mininterval=0.5, disable=not progress) as bar:
        for number, job in enumerate(waiting, start=1):
            bar.set_description(f"{job.name} ({number} of {len(waiting)})", refresh=False)
            end = bar.n + job.steps
            found[job.name] = _do(job, folder, bar.update)
            bar.update(end - bar.n)  # what the run did not tell of
    return Results(run for job in jobs if (run := found[job.name]) is not None)


def _do(job: Job, folder: Path, progress: Progress) -> Run:
    start, processor_start = perf_counter(), process_time()
    figures = job.measure(progress)
    times = (perf_counter() - start, process_time() - processor_start)
    run = Run(job.experiment, job.variant, job.seed, figures, *times)
    run.write(folder, job)
    return run
