"""Running an ONNX file with onnxruntime, an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rlquant.errors import NetworkError, SettingsError
from rlquant.pasting import install

EXTRA = "'rlquant[onnx]'"


def open_session(model: bytes | str | Path, threads: int = 1) -> Any:
    """Return an onnxruntime session on the CPU.

    Args:
        model: the file, or what stands in it.
        threads: of the computation.

    Raises:
        SettingsError: onnxruntime is not installed.
        NetworkError: it cannot run the file, as old versions cannot where integers have few bits.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingsError(f"ONNX files are run by onnxruntime: run `{install(EXTRA)}`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds
        reason = " ".join(str(error).split())
        raise NetworkError(
            f"onnxruntime {onnxruntime.__version__} cannot run this file: {reason}"
        ) from error


def feed(session: Any, inputs: Sequence[Tensor]) -> dict[str, npt.NDArray[Any]]:
    """Return a network's arguments, in order, as a session takes them."""
    names = [item.name for item in session.get_inputs()]
    return {name: tensor.detach().cpu().numpy() for name, tensor in zip(names, inputs, strict=True)}


def run_session(session: Any, inputs: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Return the outputs for the inputs, in the order of the network's arguments."""
    return [np.asarray(output) for output in session.run(None, feed(session, inputs))]


def require_exporter() -> None:
    """Raise `SettingsError` unless the packages that write ONNX files are installed."""
    try:
        import onnx_ir
        import onnxscript
    except ImportError as error:
        raise SettingsError(
            f"ONNX files are written with onnx and onnxscript: run `{install(EXTRA)}`"
        ) from error
    del onnx_ir, onnxscript
