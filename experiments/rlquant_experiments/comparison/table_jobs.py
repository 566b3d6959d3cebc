"""Many searches of tables: those that were kept are read, the others run, in several processes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from rlquant.process_pool import run_in_processes
from rlquant_experiments.comparison.comparison_progress import RunsBar
from rlquant_experiments.comparison.table_run import TableJob, TableRun


def run_jobs(jobs: Sequence[TableJob], workers: int = 1) -> list[TableRun] | None:
    """Return every run, those that were kept and those that are made; None when interrupted.

    Each run is kept the moment it ends. Runs do not depend on each other, so they are the same in
    however many processes they are made. Processes are spawned: a script that asks for them keeps
    what it runs under `if __name__ == "__main__":`, and a searcher that it registered by itself is
    unknown in them.

    Args:
        jobs: the runs.
        workers: processes that make them; with 1 it is this one.

    Raises:
        WorkerError: a run twice ended the process that made it.
        RlquantError: a kept run that cannot be read, or what a search raised.
    """
    runs = {place: run for place, job in enumerate(jobs) if (run := job.read()) is not None}
    waiting = [place for place in range(len(jobs)) if place not in runs]
    if waiting:
        todo = [jobs[place] for place in waiting]
        progress = RunsBar(len(todo), todo[0].evaluations)
        made = (
            _one_by_one(todo, progress)
            if workers == 1
            else run_in_processes(_make, todo, range(len(todo)), workers)
        )
        with progress.bar, closing(made):
            try:
                for number, run in made:
                    runs[waiting[number]] = run
                    progress.begin(todo[number].path.stem)
                    progress.end()
            except KeyboardInterrupt:
                return None
    return [runs[place] for place in range(len(jobs))]


def _make(jobs: Sequence[TableJob], place: int) -> TableRun:
    """Make a run in another process, where nothing interrupts it."""
    run = jobs[place].run()
    assert run is not None
    return run


def _one_by_one(
    jobs: Sequence[TableJob], progress: RunsBar
) -> Generator[tuple[int, TableRun], None, None]:
    """Make the runs in this process; `KeyboardInterrupt` where one was interrupted."""
    for place, job in enumerate(jobs):
        progress.begin(job.path.stem)
        run = job.run(progress)
        if run is None:
            raise KeyboardInterrupt
        yield place, run
