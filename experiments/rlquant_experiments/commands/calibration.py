"""Measure what calibration is worth on a pretrained task: a table of uniform widths by methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rlquant import tasks
from rlquant.tasks import Task
from rlquant_agents.cli.command_line import run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.benchmarks.calibration import Row, Uniform, measured

UNIFORM: Mapping[str, Sequence[Uniform]] = {
    "efficientnet-lite0": (Uniform(8), Uniform(5), Uniform(4)),
    "minilm-l6": (Uniform(4), Uniform(4, 64), Uniform(8), Uniform(3, 64)),
}
"""What is measured of each task."""


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """What to measure, and on how much.

    Attributes:
        task: efficientnet-lite0 or minilm-l6.
        calibration_samples: training samples to calibrate on.
        validation_samples: samples to measure on.
        threads: of torch.
    """

    task: str = "efficientnet-lite0"
    calibration_samples: int = 128
    validation_samples: int = 300
    threads: int = 1


def run(settings: CalibrationSettings) -> int:
    """Print the table."""
    torch.set_num_threads(settings.threads)
    task = tasks.load(settings.task)
    if settings.task == "efficientnet-lite0":
        task = _channels_last(task)
    rows = measured(
        task, UNIFORM[settings.task], settings.calibration_samples, settings.validation_samples
    )
    say("\n".join(table(rows)))
    return 0


def table(rows: Iterable[Row]) -> Iterable[str]:
    """Yield the lines of the Markdown table."""
    for number, row in enumerate(rows):
        columns = {
            f"{method}, {name}": f"{value:.4f}"
            for method, figures in row.figures.items()
            for name, value in figures.items()
        }
        if not number:
            yield " | ".join(["| bits", "group size", "rounding", *columns]) + " |"
            yield "|" + " --- |" * 3 + " ---: |" * len(columns)
        yield " | ".join([f"| {row.uniform}", *columns.values()]) + " |"


def _channels_last(task: Task) -> Task:
    """Return a task of images in the layout in which depthwise convolutions are fast on a CPU."""
    layout = torch.channels_last
    parts: Any = (task.train, task.validation)  # pairs of tensors
    train, validation = (
        (images.contiguous(memory_format=layout), labels) for images, labels in parts
    )
    network = task.network.to(memory_format=layout)  # type: ignore[call-overload]
    return replace(task, network=network, train=train, validation=validation)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    return run_command(CalibrationSettings, run, argv, __doc__)
