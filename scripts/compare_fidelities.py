"""Rank random configurations at every fidelity, and report how far the rankings agree.

A search at a cheap fidelity finds what is best after long training only as far as they do. What is
measured is kept: the same command goes on after an interruption.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from rlquant.choices import Fidelity
from rlquant.whole_files import make_folder, write_file
from rlquant_agents.command_line import command_of, run_command
from rlquant_agents.fidelity_study import study_fidelities
from rlquant_agents.task_settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class StudySettings(TaskSettings):
    """Which configurations to rank.

    Attributes:
        budget: all configurations keep this limit, in units of --quantity.
        configs: random feasible configurations.
        seed: of their draws.
        report: Markdown file to write; a figure and a table go beside it.
        store: file that keeps every evaluation.
    """

    task: str = "digits/resnet8"
    fidelity: Fidelity = "trained"
    budget: float = 2.5
    configs: int = 60
    seed: int = 0
    report: Path = Path("runs/fidelities.md")
    store: Path = Path("runs/evaluations.sqlite")


def run(settings: StudySettings, command: Sequence[str]) -> int:
    """Measure, then write the report."""
    make_folder(settings.report.parent)
    make_folder(settings.store.parent)
    task = settings.load()
    problem = settings.problem(task, settings.budget_of(settings.budget), settings.store)
    study = study_fidelities(
        problem, settings.configs, settings.seed, partial(tqdm, unit="configuration")
    )
    from rlquant_agents import figures  # matplotlib imports slowly

    picture = settings.report.with_suffix(".png")
    write_file(picture, figures.png(figures.fidelity_figure(study)))
    write_file(settings.report.with_suffix(".csv"), study.csv())
    assert problem.plan is not None
    text = [
        f"# Rankings at different fidelities: {settings.task}, {problem.budget}",
        f"Made by\n\n    {' '.join(command)}",
        f"with torch {torch.__version__} on {os.cpu_count()} cores. Trained means here: "
        f"{problem.plan.settings}.",
        study.markdown(),
        f"![losses of the same configurations at two fidelities]({picture.name})",
        "",
    ]
    write_file(settings.report, "\n\n".join(text))
    print(study.markdown())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(StudySettings, partial(run, command=command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
