"""Measure what racing saves in a search, and how often it gives up what would have won."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from rlquant.errors import SettingsError
from rlquant.whole_files import make_folder, write_file
from rlquant_agents.command_line import command_of, run_command
from rlquant_agents.racing_study import racing_markdown, study_racing
from rlquant_agents.task_settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class RacingSettings(TaskSettings):
    """Which searches to compare.

    Attributes:
        budget: the limit, in units of --quantity.
        searcher: name of the searcher.
        evaluations: of each search.
        seeds: searches of each kind, with the seeds 0, 1, ...
        report: Markdown file to write.
    """

    task: str = "fashion-mnist/resnet8"
    budget: float = 3.0
    searcher: str = "masked-ppo"
    evaluations: int = 300
    seeds: int = 5
    report: Path = Path("runs/racing.md")


def run(settings: RacingSettings, command: Sequence[str]) -> int:
    """Search with and without racing, then write the report."""
    if settings.seeds < 1 or settings.evaluations < 1:
        raise SettingsError("--seeds and --evaluations need at least one each")
    make_folder(settings.report.parent)
    task = settings.load()
    budget = settings.budget_of(settings.budget)
    found = study_racing(
        replace(settings, racing=False).problem(task, budget),
        replace(settings, racing=True).problem(task, budget),
        settings.searcher,
        settings.evaluations,
        range(settings.seeds),
        partial(tqdm, unit="seed"),
    )
    text = [
        f"# Racing: {settings.searcher} on {settings.task}, {budget}",
        f"Made by\n\n    {shlex.join(command)}",
        f"with torch {torch.__version__}, {settings.threads} of {os.cpu_count()} cores, "
        f"{settings.evaluations} evaluations a search, confidence 95 % for each that is given up. "
        "Both kinds of search share prefixes; the validation samples are the same, in another "
        "order.",
        racing_markdown(found),
        "",
    ]
    write_file(settings.report, "\n\n".join(text))
    print(racing_markdown(found))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(RacingSettings, partial(run, command=command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
