"""Measure the network of a search again, beside the float network.

Says whether both scores equal those that the search stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rlquant import Measurement, Score, measure
from rlquant.data import Data, take_samples
from rlquant_agents.cli.command_line import run_command
from rlquant_agents.cli.config_file import CommandSettings
from rlquant_agents.cli.hints import near
from rlquant_agents.cli.saved_result import CPU, SavedResult
from rlquant_agents.cli.terminal import rich_table, say, show
from rlquant_agents.reporting.words import decimal

ROUNDING = 1e-6
"""Up to which relative difference a loss is the same: sums may be taken in another order."""
HEADINGS = ("network", "validation loss", "accuracy", "bytes")


@dataclass(frozen=True, kw_only=True)
class EvalSettings(CommandSettings):
    """What is measured.

    Attributes:
        result: folder that a search wrote, or a file model.rlq.
        task: name of the task; by default the one that the folder's settings.json names.
    """

    result: Annotated[Path, tyro.conf.Positional]
    task: str | None = None


def run(settings: EvalSettings) -> int:
    """Measure both networks on the validation samples of the search, and compare."""
    saved = SavedResult.of(settings.result, settings.task)
    task = saved.task
    data: Data = task.validation
    stored = saved.stored
    if stored is not None:
        samples = take_samples(data, stored["score"].samples, name="validation", device=CPU)
        inputs, targets = samples.inputs, samples.targets
        data = inputs if isinstance(inputs, dict) and not len(targets) else (inputs, targets)
    in_float, quantized = (
        measure(network, data, objective=task.objective, float_network=task.network)
        for network in (task.network, saved.network())
    )
    size = saved.file.stat().st_size
    rows = [
        ("float", decimal(in_float.loss), f"{in_float.accuracy:.4f}", ""),
        (saved.file.name, decimal(quantized.loss), f"{quantized.accuracy:.4f}", f"{size:,}"),
    ]
    title = f"{task.name}, {quantized.samples} validation samples"
    show(rich_table(title, HEADINGS, rows, "lrrr"), width=80)
    if stored is None:
        say(f"{near(saved.file)}: no stored scores to compare with")
        return 0
    say(f"float network: {comparison(in_float, stored['float_score'])}")
    say(f"{near(saved.file)}: {comparison(quantized, stored['score'], size)}")
    return 0


def comparison(measured: Measurement, stored: Score, size: int | None = None) -> str:
    """Say whether a measurement equals a stored score, or where it differs.

    Args:
        measured: now.
        stored: by the search.
        size: bytes of the file, where there is one.
    """
    pairs = {"loss": (measured.loss, stored.loss), "accuracy": (measured.accuracy, stored.accuracy)}
    if size is not None:
        pairs["bytes"] = (size, stored.size_bytes)
    differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if differ.keys() == {"loss"} and math.isclose(*differ["loss"], rel_tol=ROUNDING):
        return f"equals the stored score, but for rounding: {_apart('loss', *differ['loss'])}"
    if differ:
        parts = (_apart(name, *pair) for name, pair in differ.items())
        return f"differs from the stored score: {'; '.join(parts)}"
    return "equals the stored score"


def _apart(name: str, now: float, then: float) -> str:
    return f"{name} is {now!r}, stored {then!r}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    return run_command(EvalSettings, run, argv, __doc__, prog="rlquant eval")
