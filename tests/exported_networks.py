"""What tests of ONNX files share: networks with a choice for each layer, and files that are run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.export.onnx.exporter import OnnxExport
from rlquant.export.onnx.runtime import open_session, run_session
from rlquant.weight_sites import layer_kind
from small_networks import samples_of, trained

SUMS = 1e-5
"""Share of the largest output by which sums in another order may differ."""
MIXED = (
    {"bits": 2},
    {"bits": 3, "points": "kmeans"},
    {"bits": 8},
    {"bits": 4, "points": "affine"},
    {"bits": 4, "method": "ternary"},
    {"bits": 12},
    {"bits": 5, "points": "fixed_point"},
    {"bits": 32, "method": "float"},
    {"bits": 11, "points": "affine"},
)


def configured(network: nn.Module, *choices: dict[str, Any], **every: Any) -> QuantizationConfig:
    """Give the layers the choices in turn."""
    names = [name for name, module in network.named_modules() if layer_kind(module)]
    return QuantizationConfig(
        tuple(LayerChoice(n, **choices[i % len(choices)], **every) for i, n in enumerate(names))
    )


def outputs(network: nn.Module, inputs: Tensor) -> npt.NDArray[Any]:
    with torch.no_grad():
        values: npt.NDArray[Any] = network(inputs).numpy()
    return values


def ran(written: OnnxExport, *inputs: Tensor) -> npt.NDArray[Any]:
    return run_session(open_session(written.path), inputs)[0]


def difference(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def optimized(path: Path, folder: Path) -> Counter[str]:
    """Return the operators that onnxruntime makes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def in_8_bits(name: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Return a small network with all layers and their inputs at 8 bits, and what calibrated it."""
    network, data = trained(name), samples_of(name, 64)
    config = configured(network, {"bits": 8, "activation_bits": 8})
    return rlquant.quantize(network, config, calibration=data, calibration_samples=64), data
