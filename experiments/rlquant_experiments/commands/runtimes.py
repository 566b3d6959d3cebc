"""Measure files for onnxruntime in blocks of few bits: bytes, loss and seconds."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from rlquant import tasks
from rlquant.escaping import markdown_table
from rlquant.files import write_file
from rlquant_agents.cli.command_line import command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.benchmarks.block_speed import (
    ROUNDED,
    UNIFORM,
    Comparison,
    Row,
    block_speed,
)


@dataclass(frozen=True, kw_only=True)
class RuntimesSettings:
    """What to measure, and on how much.

    Attributes:
        block: weights that share a scale: 32, 64 or 128.
        batches: passages of a run.
        rounds: runs of every file at every batch size, in turns.
        samples: passages to calibrate on, and as many to measure the loss on.
        report: page to write.
    """

    block: int = 32
    batches: tuple[int, ...] = (1, 8)
    rounds: int = 9
    samples: int = 32
    report: Path | None = None


def run(settings: RuntimesSettings, command: Sequence[str]) -> int:
    """Measure, and print or write the page."""
    torch.set_num_threads(1)
    task = tasks.load("minilm-l6")
    amount = (settings.rounds, settings.block, settings.samples)
    found = block_speed(task, settings.batches, *amount)
    one = block_speed(task, (1,), 10 * settings.rounds, *amount[1:], tokens=1, uniform=UNIFORM[:1])
    text = page(found, one, settings, command)
    if settings.report is None:
        say(text)
    else:
        write_file(settings.report, text)
    return 0


def page(
    found: Comparison, one: Comparison, settings: RuntimesSettings, command: Sequence[str]
) -> str:
    """Return the page in Markdown, of whole passages and of one token."""
    batches = settings.batches
    heads = ["file", "bytes", "cosine distance", "from PyTorch"]
    heads += [f"ms, batch {batch}" for batch in batches]
    heads += [f"of float, batch {batch}" for batch in batches]
    against = [
        [
            str(level),
            f"{one.against[level, 1]:.3f}",
            *(f"{found.against[level, batch]:.3f}" for batch in batches),
        ]
        for level in (0, ROUNDED)
    ]
    return "\n\n".join(
        [
            "# MatMulNBits: bytes, loss, speed",
            f"Made by\n\n    {shlex.join(command)}",
            f"on {platform.machine()} with {os.cpu_count()} cores, onnxruntime "
            f"{version('onnxruntime')}, one thread, load average "
            f"{os.getloadavg()[1]:.0f}. minilm-l6: passages of 128 tokens; all Linear "
            f"layers in blocks of {settings.block} weights, rounded by GPTQ on {settings.samples} "
            f"training passages; onnxruntime's own quantizer (`MatMulNBitsQuantizer`, symmetric) "
            f"rounds to nearest. All files run in turns, {settings.rounds} rounds: times are "
            f"medians, ratios medians over rounds of the ratio in one round.",
            "Cosine distance: mean over as many validation passages, to the float file's "
            "embeddings. From PyTorch: largest difference to the quantized network's outputs, as a "
            "share of the largest output.",
            markdown_table(heads, [_cells(row, batches) for row in found.rows], "lr"),
            "One token a run:",
            markdown_table(
                ["file", "ms", "of float"],
                [
                    [row.name, f"{1e3 * row.seconds[1]:.3f}", f"{row.ratios[1]:.2f}"]
                    for row in one.rows
                ],
                "lr",
            ),
            "Seconds of rlquant's 4 bits by those of onnxruntime's quantizer, by accuracy level "
            "(0: float inputs, as exported; 4: kernels round inputs to 8 bits, set in both files "
            "afterwards):",
            markdown_table(
                ["accuracy level", "1 token", *(f"batch {batch}" for batch in batches)],
                against,
                "lr",
            ),
        ]
    ) + "\n"  # fmt: skip


def _cells(row: Row, batches: Sequence[int]) -> list[str]:
    return [
        row.name,
        f"{row.bytes:,}",
        f"{row.loss:.5f}",
        "" if row.difference is None else f"{row.difference:.1e}",
        *(f"{1e3 * row.seconds[batch]:.1f}" for batch in batches),
        *(f"{row.ratios[batch]:.2f}" for batch in batches),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(RuntimesSettings, partial(run, command=command), argv, __doc__)
