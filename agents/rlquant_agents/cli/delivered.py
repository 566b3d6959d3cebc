"""Export of a search's result for its deployment target, checked by running it there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from rlquant import LatencyTable, OnnxExport, export_onnx
from rlquant.data import Data, Samples
from rlquant.profiling.sessions import seconds_of_file

FILE = "model.onnx"


@dataclass(frozen=True)
class Delivered:
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
        lines = [f"{export.path}: {export.bytes:,} bytes for onnxruntime"]
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
        return Delivered(export, len(samples))
    seconds = seconds_of_file(path, samples.inputs, table.batch, table.threads)
    return Delivered(export, len(samples), seconds)
