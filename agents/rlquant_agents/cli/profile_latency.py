"""Measure how long each layer of a task's network takes on this machine, in float and in 8 bits.

Writes the table that a latency budget reads (`rlquant search --quantity latency --latency-table
FILE`), says whether 8 bits are faster here at all, and how well sums over layers predict whole
networks.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from rlquant import tasks
from rlquant.counted import counted
from rlquant.data import take_samples
from rlquant.escaping import printable
from rlquant.files import make_folder, write_file
from rlquant.folder_lock import held_file
from rlquant.profiling.profile import LatencyProfile, profile_latency
from rlquant_agents.cli.command_line import recorded, run_command
from rlquant_agents.cli.config_file import CommandSettings
from rlquant_agents.cli.latency_report import latency_markdown, verdict
from rlquant_agents.cli.terminal import say

NAME = "profile-latency"


@dataclass(frozen=True, kw_only=True)
class LatencySettings(CommandSettings):
    """What to measure.

    Attributes:
        task: name of the task, e.g. fashion-mnist/resnet14.
        batch: samples of one run.
        threads: of onnxruntime.
        rounds: how often each of some tens of networks is timed.
        seed: of the random mixes.
        out: CSV to write; by default runs/latency-<task>-batch<batch>.csv.
        report: Markdown file to write, with a picture beside it; by default beside the CSV.
        progress: show progress bars.
    """

    task: str = "fashion-mnist/resnet14"
    batch: int = 1
    threads: int = 1
    rounds: int = 100
    seed: int = 0
    out: Path | None = None
    report: Path | None = None
    progress: bool = True


class Bars:
    """Progress bars, one for each thing that goes on."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._bars: dict[str, tqdm] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` are finished."""
        if what not in self._bars:
            self._bars[what] = tqdm(total=total, desc=printable(what), disable=not self._shown)
        self._bars[what].update(done - self._bars[what].n)
        if done == total:
            self._bars.pop(what).close()


def run(settings: LatencySettings, command: Sequence[str]) -> int:
    """Measure, then write the table and its report."""
    name = f"latency-{settings.task.replace('/', '-')}-batch{settings.batch}.csv"
    table = settings.out or Path("runs") / name
    report = settings.report or table.with_suffix(".md")
    make_folder(report.parent)
    with held_file(table):
        profile = measured(settings)
        write(profile, settings, command, table, report)
    say(verdict(profile))
    say(
        f"{counted(profile.checks, 'network')} predicted with a mean error of "
        f"{100 * profile.mean_error:.1f} %; the table is {table}, the report {report}"
    )
    return 0


def measured(settings: LatencySettings) -> LatencyProfile:
    """Measure the layers of the task's network."""
    task = tasks.load(settings.task)
    samples = take_samples(
        task.validation,
        max(2, settings.batch),
        name="validation",
        device=next(task.network.parameters()).device,
    )
    return profile_latency(
        task.network,
        task.train,
        samples.positional,
        batch=settings.batch,
        threads=settings.threads,
        rounds=settings.rounds,
        seed=settings.seed,
        told=Bars(settings.progress),
    )


def write(
    profile: LatencyProfile,
    settings: LatencySettings,
    command: Sequence[str],
    table: Path,
    report: Path,
) -> None:
    """Write table, report and picture."""
    from rlquant_agents.cli.latency_figures import latency_figure
    from rlquant_agents.reporting.figure_files import png

    picture = report.with_suffix(".png")
    machine = (
        f"{platform.machine()} with {os.cpu_count()} cores, onnxruntime {version('onnxruntime')}, "
        f"{counted(settings.threads, 'thread')}"
    )
    write_file(table, profile.csv())
    write_file(picture, png(latency_figure(profile)))
    write_file(report, latency_markdown(profile, settings.task, machine, command, picture.name))


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = partial(run, command=recorded(NAME, argv))
    return run_command(LatencySettings, command, argv, __doc__, prog=f"rlquant {NAME}")
