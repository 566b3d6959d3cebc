"""Write the network of a search for a deployment target: ONNX, GGUF or compressed-tensors."""

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
from rlquant.export.targets import TargetName
from rlquant.forward_pass import in_order
from rlquant.paths import path_of
from rlquant.samples import Samples
from rlquant_agents.cli.command_line import recorded, run_command
from rlquant_agents.cli.config_file import CommandSettings
from rlquant_agents.cli.hints import near
from rlquant_agents.cli.recipe_export import RecipeName, write_recipe_of
from rlquant_agents.cli.saved_result import CPU, SavedResult
from rlquant_agents.cli.target_export import OWN_FORMS, TargetExport, export_source_of
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
            `rlquant search --target onnxruntime-int8` chooses them; gguf, for llama.cpp, and
            compressed-tensors, for vLLM and transformers, layers as a search for them chooses them.
        export_source: for --target gguf and compressed-tensors, the network's folder of
            transformers (for gguf a GGUF file of it, too), whose tokenizer and metadata are taken
            over; by default the model that was searched.
        recipe: no network but a recipe by which another tool quantizes the float one: the widths,
            group sizes and types of the layers, without scales.
        out: file to write; by default model.onnx, model.gguf or the folder compressed-tensors in
            the folder of the search.
    """

    result: Annotated[Path, tyro.conf.Positional]
    task: str | None = None
    target: Literal[
        "onnxruntime-int8",
        "onnxruntime-int4",
        "onnxruntime-matmulnbits",
        "gguf",
        "compressed-tensors",
    ] = "onnxruntime-int8"
    export_source: Path | None = None
    recipe: RecipeName | None = None
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
    inputs = in_order(network, samples.inputs, "validation data")
    export = export_onnx(network, inputs, path, target=target, calibration=calibration)
    if table is None:
        return Exported(export, len(samples))
    from rlquant.profiling.sessions import seconds_of_file  # needs onnxruntime

    seconds = seconds_of_file(path, inputs, table.batch, table.threads)
    return Exported(export, len(samples), seconds)


def run(settings: ExportSettings, command: Sequence[str] = ()) -> int:
    """Load the network, export it, and say how exact the file is."""
    saved = SavedResult.of(settings.result, settings.task)
    if settings.recipe is not None:
        float_network = lambda: saved.task.network  # noqa: E731 - loaded where it is needed
        say(write_recipe_of(settings.recipe, settings.result, settings.out, float_network))
        return 0
    if settings.target in OWN_FORMS:
        say(run_own_form(settings, saved, command))
        return 0
    out = path_of("out", settings.out or saved.file.with_name(FILE))
    samples = take_samples(saved.task.validation, COMPARED, name="validation", device=CPU)
    network = saved.network()
    say(export_for(settings.target, network, samples, out, saved.task.train).text())
    return 0


def run_own_form(settings: ExportSettings, saved: SavedResult, command: Sequence[str]) -> str:
    """Write a network and its card for one of `OWN_FORMS`; return their sizes in words."""
    stored, network = saved.stored, saved.network()
    scores = {} if stored is None else {"float": stored["float_score"], SEARCHED: stored["score"]}
    written = TargetExport(
        target=settings.target,
        network=network,
        source=export_source_of(settings.target, saved.source.task, settings.export_source),
        base=saved.base,
        scores=scores,
        networks={"float": saved.task.network, SEARCHED: network},
        command=command,
        seed=None,
    )
    out = settings.out or saved.file.with_name(OWN_FORMS[settings.target].name)
    return written.write(path_of("out", out), saved.task)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = partial(run, command=recorded("export", argv))
    return run_command(ExportSettings, command, argv, __doc__, prog="rlquant export")
