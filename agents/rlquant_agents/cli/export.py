"""Write the network of a search as an ONNX or GGUF file for a deployment target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from torch import nn

from rlquant import LatencyTable, OnnxExport, export_onnx
from rlquant.data import Data, take_samples
from rlquant.export.targets import GGUF, TargetName
from rlquant.paths import path_of
from rlquant.samples import Samples
from rlquant_agents.cli.command_line import recorded, run_command
from rlquant_agents.cli.config_file import CommandSettings
from rlquant_agents.cli.gguf_export import GGUF_FILE, GgufCommand
from rlquant_agents.cli.hints import near
from rlquant_agents.cli.saved_result import CPU, SavedResult
from rlquant_agents.cli.task_source import gguf_source_of
from rlquant_agents.cli.terminal import say

FILE = "model.onnx"
SEARCHED = "this file"
COMPARED = 256
"""Samples on which an exported network is compared with PyTorch's."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings(CommandSettings):
    """What is exported, and where to.

    Attributes:
        result: folder that a search wrote, or a file model.rlq.
        task: name of the task; by default the one that the folder's settings.json names.
        target: where the network will run. onnxruntime-int8 needs layers with 8-bit inputs, as
            `rlquant search --target onnxruntime-int8` chooses them; gguf, for llama.cpp, layers
            as `rlquant search --target gguf` chooses them.
        gguf_source: for --target gguf, a GGUF file of the same network or its folder of
            transformers, for tokenizer and metadata; by default the model that was searched.
        out: file to write; by default model.onnx or model.gguf in the folder.
    """

    result: Annotated[Path, tyro.conf.Positional]
    task: str | None = None
    target: Literal["onnxruntime-int8", "onnxruntime-int4", "gguf"] = "onnxruntime-int8"
    gguf_source: Path | None = None
    out: Path | None = None


@dataclass(frozen=True)
class Exported:
    """An exported network, and how fast it runs.

    Attributes:
        export: what was written.
        samples: on which it was compared with PyTorch.
        seconds: median of a run, None where it was not timed.
    """

    export: OnnxExport
    samples: int
    seconds: float | None = None

    def text(self, limit: float | None = None) -> str:
        """Say what was written, and whether it keeps a limit in seconds."""
        export = self.export
        lines = [f"{near(export.path)}: {export.bytes:,} bytes for onnxruntime"]
        if export.error is not None:
            lines.append(
                f"its outputs differ from PyTorch's by at most {100 * export.error:.2g} % "
                f"on {self.samples} samples"
            )
        if self.seconds is not None and limit is not None:
            verdict = "within" if self.seconds <= limit else "OVER"
            lines.append(
                f"it takes {1e3 * self.seconds:.4g} ms a run, {verdict} the limit of "
                f"{1e3 * limit:.4g} ms"
            )
        return "; ".join(lines)


def export_for(
    target: TargetName,
    network: nn.Module,
    samples: Samples,
    path: Path,
    calibration: Data,
    table: LatencyTable | None = None,
) -> Exported:
    """Export a quantized network, and time it as its latency table was timed.

    Args:
        target: any but "packed".
        network: what the search found.
        samples: some inputs.
        path: the file to write.
        calibration: data for the ranges between layers.
        table: by which the budget was kept, if it was one of latency.
    """
    export = export_onnx(network, samples.positional, path, target=target, calibration=calibration)
    if table is None:
        return Exported(export, len(samples))
    from rlquant.profiling.sessions import seconds_of_file  # needs onnxruntime

    seconds = seconds_of_file(path, samples.positional, table.batch, table.threads)
    return Exported(export, len(samples), seconds)


def run(settings: ExportSettings, command: Sequence[str] = ()) -> int:
    """Load the network, export it, and say how exact the file is."""
    saved = SavedResult.of(settings.result, settings.task)
    if settings.target == GGUF:
        say(run_gguf(settings, saved, command))
        return 0
    out = path_of("out", settings.out or saved.file.with_name(FILE))
    samples = take_samples(saved.task.validation, COMPARED, name="validation", device=CPU)
    network = saved.network()
    say(export_for(settings.target, network, samples, out, saved.task.train).text())
    return 0


def run_gguf(settings: ExportSettings, saved: SavedResult, command: Sequence[str]) -> str:
    """Write a GGUF file and its card; return their sizes in words."""
    stored, network = saved.stored, saved.network()
    scores = {} if stored is None else {"float": stored["float_score"], SEARCHED: stored["score"]}
    written = GgufCommand(
        network=network,
        source=gguf_source_of(saved.source.task, settings.gguf_source),
        base=saved.source.task,
        scores=scores,
        networks={"float": saved.task.network, SEARCHED: network},
        command=command,
        seed=None,
    )
    return written.write(
        path_of("out", settings.out or saved.file.with_name(GGUF_FILE)), saved.task
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = partial(run, command=recorded("export", argv))
    return run_command(ExportSettings, command, argv, __doc__, prog="rlquant export")
