"""Panels of the figure of the assignment experiments."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant_experiments.reproduction.assignment.jobs import WAYS
from rlquant_experiments.reproduction.assignment.presets import AssignmentPreset, experiment_name
from rlquant_experiments.reproduction.panels import Panel, Series
from rlquant_experiments.reproduction.runs import Results

FIGURES = {
    "layer_error": "error of layers' outputs / nearest",
    "loss": "validation loss (mean per sample)",
}


def draw(preset: AssignmentPreset, results: Results) -> Sequence[Panel]:
    """Return the panels: by task, layer errors and validation losses of every way."""
    return [
        Panel(
            task,
            "",
            label,
            [_series(results, task, bits, figure) for bits in preset.bits],
            logarithmic=True,
        )
        for figure, label in FIGURES.items()
        for task in preset.tasks
    ]


def _series(results: Results, task: str, bits: int, figure: str) -> Series:
    columns = [results.values(experiment_name(task, bits), way, figure) for way in WAYS]
    rows = [list(map(float, run)) for run in zip(*columns, strict=True)]
    return Series(f"{bits} bits", WAYS, rows)
