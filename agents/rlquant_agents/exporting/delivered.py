"""The network that a search found, exported for its target and run there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from rlquant import LatencyTable, OnnxExport, export_onnx
from rlquant.data import Data, Samples
from rlquant.export.onnx.runtime import open_session
from rlquant.profiling.clock import times_in_turns
from rlquant.profiling.profile import repeated

FILE = "model.onnx"
RUNS = 200
SECONDS = 3.0
"""Runs to time, fewer where they would take longer than this."""


@dataclass(frozen=True)
class Delivered:
    """An exported network, and how fast it runs.

    Attributes:
        export: what was written.
        seconds: median of a run, None where it was not timed.
    """

    export: OnnxExport
    seconds: float | None = None

    def text(self, limit: float | None = None) -> str:
        """Say what was written, and whether it keeps a limit in seconds."""
        export = self.export
        lines = [f"{export.path}: {export.bytes:,} bytes for onnxruntime"]
        if export.error is not None:
            lines.append(f"its outputs differ from PyTorch's by at most {100 * export.error:.2g} %")
        if self.seconds is not None and limit is not None:
            verdict = "within" if self.seconds <= limit else "OVER"
            lines.append(
                f"it takes {1e3 * self.seconds:.4g} ms a run, {verdict} the limit of "
                f"{1e3 * limit:.4g} ms"
            )
        return "; ".join(lines)


def deliver(
    network: nn.Module,
    samples: Samples,
    path: Path,
    target: str,
    calibration: Data,
    table: LatencyTable | None = None,
) -> Delivered:
    """Export a quantized network, and time it as its latency table was timed.

    Args:
        network: what the search found.
        samples: some inputs.
        path: the file to write.
        target: name of a target that is not "packed".
        calibration: data for the ranges between layers.
        table: by which the budget was kept, if it was one of latency.
    """
    export = export_onnx(network, samples.inputs, path, target=target, calibration=calibration)
    if table is None:
        return Delivered(export)
    return Delivered(export, run_seconds(path, samples.inputs, table.batch, table.threads))


def run_seconds(
    path: Path, inputs: tuple[Tensor, ...], batch: int, threads: int, runs: int = RUNS
) -> float:
    """Return the median seconds of a run of an ONNX file."""
    session = open_session(path, threads)
    names = [item.name for item in session.get_inputs()]
    fed = {
        name: repeated(tensor, batch).numpy() for name, tensor in zip(names, inputs, strict=True)
    }

    def run() -> object:
        return session.run(None, fed)

    once = float(times_in_turns([run], 3).min())
    rounds = int(np.clip(SECONDS / max(once, 1e-9), 5, runs))
    return float(np.median(times_in_turns([run], rounds)))
