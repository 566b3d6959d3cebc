"""`export_onnx`: a quantized network as an ONNX file that runtimes read without rlquant."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rlquant.data import Data, take_samples
from rlquant.errors import NetworkError, SettingsError
from rlquant.export.onnx.runtime import open_session, require_exporter, run_session
from rlquant.export.quantized_layers import QuantizedLayer, quantized_layers
from rlquant.layers import as_arguments
from rlquant.targets import refusals, target_named
from rlquant.whole_files import write_file

CALIBRATION_SAMPLES = 512
CALIBRATION_BATCH = 64
MARK = "quantized by rlquant"


@dataclass(frozen=True)
class OnnxExport:
    """What `export_onnx` wrote.

    Attributes:
        path: the file.
        bytes: its size.
        opset: the lowest that its integers need.
        layers: how each quantized layer is written, in words.
        quantized_between: tensors between layers that were quantized to 8 bits for the target,
            beside the layers' inputs.
        error: largest difference to PyTorch's outputs on the example input, as a share of the
            largest output; None where onnxruntime is not installed.
    """

    path: Path
    bytes: int
    opset: int
    layers: Mapping[str, str]
    quantized_between: int
    error: float | None


def export_onnx(
    quantized: nn.Module,
    example_input: Tensor | Sequence[Tensor],
    path: str | Path,
    *,
    target: str | None = None,
    calibration: Data | None = None,
    dynamic_batch: bool = True,
) -> OnnxExport:
    """Write a quantized network as an ONNX file, its weights as packed integers.

    Integer grids are written as integers and scales, all other points as a table that codes are
    looked up in; quantized inputs as QuantizeLinear and DequantizeLinear. All of it computes the
    same numbers as the PyTorch network, up to the order of sums.

    With `target="onnxruntime-int8"` the file is made for speed: BatchNorm becomes part of the
    scales, and tensors between layers (residual sums) get 8 bits too, so that whole stretches run
    in integers. Outputs then differ by a few steps of those 8 bits; `error` says how much.

    Args:
        quantized: what `rlquant.quantize`, `rlquant.load` or `problem.build` returned.
        example_input: a batch as the network takes it; several inputs as a tuple.
        path: usually `*.onnx`; an existing file is replaced.
        target: "onnxruntime-int8" or "onnxruntime-int4", to write what these run fastest and
            refuse what they cannot express; None for everything that ONNX can.
        calibration: for "onnxruntime-int8", data for the ranges between layers; by default the
            example input.
        dynamic_batch: leave the length of the first axis of every input open.

    Returns:
        What was written, and how far it is from PyTorch.

    Raises:
        NetworkError: not a quantized network in float32, or one that PyTorch cannot export, or
            layers that the target cannot express, each of which is named.
        UnknownNameError: no such target.
        SettingsError: a package is not installed.
        StorageError: the file cannot be written.
    """
    chosen = None if target is None else target_named(target)
    layers = quantized_layers(quantized)
    if chosen is not None:
        _require_expressible(chosen.name, layers)
    _require_float32(quantized)
    require_exporter()
    from rlquant.export.onnx.between import quantize_between
    from rlquant.export.onnx.lowering import lower, serialized, without_traces
    from rlquant.export.onnx.trace import trace

    inputs = tuple(tensor.detach().cpu() for tensor in as_arguments(example_input))
    on_cpu = _on_cpu(quantized)
    traced = trace(on_cpu, quantized_layers(on_cpu), _two_samples(inputs), dynamic_batch)
    described = lower(traced, target)
    without_traces(traced.model, {"producer": MARK, "target": target or "any"})
    traced.model.graph.sort()
    between = 0
    if target == "onnxruntime-int8":
        between = quantize_between(traced.model, batches_of(inputs, calibration))
        traced.model.graph.sort()
    content = serialized(traced.model)
    write_file(Path(path), content)
    opset = traced.model.opset_imports[""]
    error = _error(on_cpu, content, inputs)
    return OnnxExport(Path(path), len(content), opset, described, between, error)


def float_onnx(network: nn.Module, example_input: Tensor | Sequence[Tensor]) -> bytes:
    """Return a float network as the contents of an ONNX file, to compare with.

    Args:
        network: on the CPU, not quantized.
        example_input: a batch; its length is left open.

    Raises:
        NetworkError: PyTorch cannot export the network.
        SettingsError: a package is not installed.
    """
    require_exporter()
    from rlquant.export.onnx.lowering import serialized, without_traces
    from rlquant.export.onnx.trace import trace

    inputs = tuple(tensor.detach().cpu() for tensor in as_arguments(example_input))
    model = trace(network, {}, _two_samples(inputs), dynamic_batch=True).model
    without_traces(model, {})
    return serialized(model)


def _require_expressible(target: str, layers: Mapping[str, QuantizedLayer]) -> None:
    choices = ((layer.weight.choice, layer.weight.tensor.bucket_size) for layer in layers.values())
    refused = refusals(target_named(target), choices)
    if refused:
        lines = "".join(f"\n  layer {layer!r}: {reason}" for layer, reason in refused.items())
        raise NetworkError(f"target {target!r} cannot express {len(refused)} layers:{lines}")


def _require_float32(network: nn.Module) -> None:
    for name, tensor in network.state_dict(keep_vars=True).items():
        scale = name.endswith((".scale", ".offset", ".values"))  # of a quantizer: read as float32
        if tensor.is_floating_point() and tensor.dtype != torch.float32 and not scale:
            raise NetworkError(
                f"{name!r} is of type {tensor.dtype}; ONNX files are written of float32 networks"
            )


def _on_cpu(quantized: nn.Module) -> nn.Module:
    """Return the network, a copy where it is not on the CPU or not in eval mode."""
    devices = {tensor.device.type for tensor in quantized.state_dict(keep_vars=True).values()}
    if devices <= {"cpu"} and not any(module.training for module in quantized.modules()):
        return quantized
    return copy.deepcopy(quantized).cpu().eval()


def _two_samples(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return a batch of at least two: PyTorch takes a length of one for a constant."""
    if inputs and all(tensor.dim() and len(tensor) == 1 for tensor in inputs):
        return tuple(torch.cat([tensor, tensor]) for tensor in inputs)
    return inputs


def batches_of(
    inputs: tuple[Tensor, ...], calibration: Data | None, samples: int = CALIBRATION_SAMPLES
) -> list[tuple[Tensor, ...]]:
    """Return batches of inputs for ranges: of the calibration data, or the inputs themselves."""
    if calibration is None:
        return [inputs]
    taken = take_samples(calibration, samples, name="calibration", device=torch.device("cpu"))
    columns = (torch.split(tensor, CALIBRATION_BATCH) for tensor in taken.inputs)
    return list(zip(*columns, strict=True))


def _error(network: nn.Module, content: bytes, inputs: tuple[Tensor, ...]) -> float | None:
    """Return the largest difference of the file's outputs, as a share of the largest one."""
    with contextlib.suppress(SettingsError):
        session = open_session(content)
        with torch.no_grad():
            expected = network(*inputs)
        wanted = [expected] if isinstance(expected, Tensor) else list(expected)
        pairs = list(zip(run_session(session, inputs), (w.numpy() for w in wanted), strict=True))
        largest = max(float(np.abs(w).max(initial=0.0)) for _, w in pairs)
        return max(float(np.abs(g - w).max(initial=0.0)) for g, w in pairs) / (largest or 1.0)
    return None
