"""Measure what leaves the tool: bytes on the disk, agreement with PyTorch, and speed, by task.

For every task the network is quantized at uniform bits and as a search finds it, packed (.rlq),
exported for onnxruntime and run there.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

from rlquant import tasks
from rlquant.whole_files import make_folder, write_file
from rlquant_agents.arguments import whole_evaluations
from rlquant_agents.command_line import command_of, run_command
from rlquant_agents.exporting.study import UNIFORM, study_export
from rlquant_agents.exporting.study_report import study_csv, study_markdown

STEPS = len(UNIFORM) + 3
"""Networks that are exported, and the search."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What to measure.

    Attributes:
        tasks: names of tasks.
        searcher: that finds the searched bits.
        evaluations: of each search.
        budget: average bits of the searched networks.
        seed: of the searches.
        seconds: in which the networks of a task take turns at each batch size.
        report: Markdown file to write; picture and CSV go beside it.
        progress: show a progress bar.
    """

    tasks: tuple[str, ...] = (
        "digits/mlp",
        "digits/cnn",
        "digits/resnet8",
        "fashion-mnist/mlp",
        "fashion-mnist/cnn",
        "fashion-mnist/resnet8",
        "fashion-mnist/resnet14",
        "fashion-mnist/resnet8-wide",
    )
    searcher: str = "auto"
    evaluations: int = 100
    budget: float = 3.0
    seed: int = 0
    seconds: float = 4.0
    report: Path = Path("runs/export.md")
    progress: bool = True


def run(settings: ExportSettings, command: Sequence[str]) -> int:
    """Measure every task, writing what is known after each."""
    whole_evaluations(settings.evaluations)
    make_folder(settings.report.parent)
    torch.set_num_threads(1)
    studies = []
    for name in settings.tasks:
        task = tasks.load(name)
        with tqdm(total=STEPS, desc=name, disable=not settings.progress) as bar:
            study = study_export(
                name,
                task,
                searcher=settings.searcher,
                evaluations=settings.evaluations,
                budget=settings.budget,
                seed=settings.seed,
                seconds=settings.seconds,
                told=lambda step, bar=bar: bar.update() and bar.set_postfix_str(step),  # type: ignore[misc]
            )
        studies.append(study)
        from rlquant_agents.exporting.study_figures import study_figure
        from rlquant_agents.figures import png  # matplotlib imports slowly

        picture, table = (settings.report.with_suffix(end) for end in (".png", ".csv"))
        machine = (
            f"{platform.machine()} with {os.cpu_count()} cores, onnxruntime "
            f"{version('onnxruntime')}, torch {torch.__version__}"
        )
        write_file(table, study_csv(studies))
        write_file(picture, png(study_figure(studies)))
        document = study_markdown(studies, command, machine, picture.name, table.name)
        write_file(settings.report, document)
    print(f"{settings.report}: {len(studies)} tasks")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(ExportSettings, partial(run, command=command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
