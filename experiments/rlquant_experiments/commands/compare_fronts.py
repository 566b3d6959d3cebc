"""Compare ways to find a whole front of loss against size, with equal evaluations.

One agent for every budget, NSGA-II, and searches of one budget each that share the evaluations.
Every finished search is kept at once; started again with the same settings, it goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from rlquant import Budget, TabularProblem, load_table, table_names
from rlquant.errors import SettingsError, whole_number
from rlquant.files import make_folder, write_file
from rlquant.folder_lock import held
from rlquant.process_pool import run_in_processes
from rlquant_agents.cli.command_line import command_of, run_command
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.cli.terminal import say
from rlquant_experiments.comparison.statistics.front_report import front_report
from rlquant_experiments.comparison.statistics.fronts import WAYS, FrontJob, FrontTask


@dataclass(frozen=True, kw_only=True)
class FrontSettings(TaskSettings):
    """A comparison of ways to find fronts.

    Attributes:
        tables: compare on tables; "all" for every one that comes with rlquant; none for --task.
        lowest: smallest budget of the front, in average bits.
        highest: the largest.
        evaluations: distinct configurations that each way may measure in all.
        seeds: runs of each way, with the seeds 0, 1, ...
        ways: names of ways; all of them by default.
        workers: processes that search tables at the same time.
        out: folder for the runs.
        report: Markdown file to write as well.
    """

    tables: tuple[str, ...] = ()
    lowest: float = 2.3
    highest: float = 6.0
    evaluations: int = 600
    seeds: int = 20
    ways: tuple[str, ...] = tuple(WAYS)
    workers: int = 1
    out: Path = Path("runs/compare-fronts")
    report: Path | None = None

    def names(self) -> tuple[str, ...]:
        """Return the tables' names; none for a live task."""
        return table_names() if self.tables == ("all",) else self.tables

    def check(self) -> None:
        """Raise `SettingsError` for a way that is not there, or no run to make."""
        for name in self.ways:
            if name not in WAYS:
                raise SettingsError(f"--ways {name!r}: use some of {list(WAYS)}")
        whole_number("--seeds", self.seeds, 1)
        whole_number("--workers", self.workers, 1)
        whole_number("--evaluations", self.evaluations, 12)
        if self.quantity != "average_bits" or not 0 < self.lowest < self.highest:
            raise SettingsError(
                f"--lowest {self.lowest:g} --highest {self.highest:g}: give two numbers of average "
                f"bits, the smaller one first, and no other --quantity"
            )

    def jobs(self) -> list[FrontJob]:
        """Return every search."""
        found = []
        for name in self.names() or (self.file_name,):
            problem = self._problem(name)
            for way in self.ways:
                for seed in range(self.seeds):
                    task = FrontTask(problem, self.lowest, self.highest, self.evaluations, seed)
                    file = f"{name}-{way.replace(', ', '-').replace(' ', '-')}-seed{seed}.json"
                    found.append(FrontJob(name, task, way, self.out / file))
        return found

    def _problem(self, name: str):  # type: ignore[no-untyped-def]
        budget = Budget.average_bits(self.highest)
        if self.names():
            return TabularProblem(load_table(name), budget)
        return self.problem(self.load(), budget, self.out.parent / "evaluations.sqlite")


def run(settings: FrontSettings, command: Sequence[str]) -> int:
    """Check the settings, then compare."""
    settings.check()
    settings.set_threads()
    with held(settings.out):
        return compare_fronts(settings, command)


def compare_fronts(settings: FrontSettings, command: Sequence[str]) -> int:
    """Search what has not been searched yet, then write and show the comparison."""
    jobs = settings.jobs()
    volumes = _run_all(jobs, settings.workers if settings.names() else 1)
    text, figure = front_report(jobs, volumes, command, settings.threads)
    for target in filter(None, (settings.out / "report.md", settings.report)):
        make_folder(target.parent)
        write_file(target, text.replace("FIGURE", f"{target.stem}.png"))
        write_file(target.with_suffix(".png"), figure)
    say(text.replace("FIGURE", "report.png"))
    return 0


def _run_all(jobs: Sequence[FrontJob], workers: int) -> list[float]:
    """Return the hypervolume of every job, in their order; `KeyboardInterrupt` when interrupted."""
    volumes = [0.0] * len(jobs)
    made = (
        _one_by_one(jobs)
        if workers == 1
        else run_in_processes(_search, jobs, range(len(jobs)), workers)
    )
    with tqdm(total=len(jobs), unit="search", mininterval=0.5) as bar, closing(made):
        for place, volume in made:
            volumes[place] = volume
            bar.update()
    return volumes


def _one_by_one(jobs: Sequence[FrontJob]) -> Generator[tuple[int, float], None, None]:
    for place in range(len(jobs)):
        yield place, _search(jobs, place)


def _search(jobs: Sequence[FrontJob], place: int) -> float:
    volume = jobs[place].run()
    if volume is None:
        raise KeyboardInterrupt
    return volume


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(FrontSettings, partial(run, command=command), argv, __doc__)
