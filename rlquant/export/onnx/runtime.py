"""Running an ONNX file with onnxruntime, an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rlquant.errors import SettingsError

HOW = "install it with: pip install 'rlquant[onnx]'"


def open_session(model: bytes | str | Path, threads: int = 1) -> Any:
    """Return an onnxruntime session on the CPU.

    Args:
        model: the file, or what stands in it.
        threads: of the computation.

    Raises:
        SettingsError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingsError(f"ONNX files are run by onnxruntime; {HOW}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, inputs: Sequence[Tensor]) -> list[npt.NDArray[Any]]:
    """Return the outputs for the inputs, in the order of the network's arguments."""
    names = [item.name for item in session.get_inputs()]
    fed = {name: tensor.detach().cpu().numpy() for name, tensor in zip(names, inputs, strict=True)}
    return [np.asarray(output) for output in session.run(None, fed)]


def require_exporter() -> None:
    """Raise `SettingsError` unless the packages that write ONNX files are installed."""
    try:
        import onnx_ir
        import onnxscript
    except ImportError as error:
        raise SettingsError(f"ONNX files are written with onnx and onnxscript; {HOW}") from error
    del onnx_ir, onnxscript
