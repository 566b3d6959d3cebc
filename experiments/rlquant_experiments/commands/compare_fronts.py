"""Compare ways to find a whole front of loss against size, with equal evaluations.

One agent for every budget, NSGA-II, and searches of one budget each that share the evaluations.
Every finished search is kept at once; started again with the same settings, it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rlquant import Budget, Problem, TabularProblem, load_table, table_names
from rlquant.errors import SettingsError, whole_number
from rlquant.folder_lock import held
from rlquant_agents.cli.command_line import command_of, run_command
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.cli.terminal import say
from rlquant_experiments.comparison.statistics.front_report import front_report
from rlquant_experiments.comparison.statistics.fronts import WAYS, front_volumes


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

    def problems(self) -> dict[str, Problem]:
        """Return what is searched, by name."""
        budget = Budget.average_bits(self.highest)
        if self.names():
            return {name: TabularProblem(load_table(name), budget) for name in self.names()}
        store = self.out.parent / "evaluations.sqlite"
        return {self.file_name: self.problem(self.load(), budget, store)}


def run(settings: FrontSettings, command: Sequence[str]) -> int:
    """Check the settings, then compare."""
    settings.check()
    settings.set_threads()
    with held(settings.out):
        return compare_fronts(settings, command)


def compare_fronts(settings: FrontSettings, command: Sequence[str]) -> int:
    """Search what has not been searched yet, then write and show the comparison."""
    between = settings.lowest, settings.highest
    volumes = front_volumes(
        *(settings.problems(), settings.ways, between, settings.evaluations, settings.seeds),
        *(settings.out, settings.workers if settings.names() else 1),
    )
    if volumes is None:
        raise KeyboardInterrupt
    report = front_report(volumes, between, settings.evaluations, command, settings.threads)
    targets = [path for path in (settings.report, settings.out / "report.md") if path is not None]
    say(report.write(targets))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(FrontSettings, partial(run, command=command), argv, __doc__)
