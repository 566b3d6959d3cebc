"""`export_onnx`: a quantized network as an ONNX file that runtimes read without rlquant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.copying.network_copy import independent_copy
from rlquant.counted import counted
from rlquant.data import Data, take_samples
from rlquant.errors import DataError, NetworkError, SettingsError
from rlquant.export.onnx.runtime import open_session, require_exporter, run_session
from rlquant.export.quantized_layers import QuantizedLayer, quantized_layers
from rlquant.export.targets import COMPRESSED_TENSORS, GGUF, INT8, Target, refusals, target_named
from rlquant.files import write_file
from rlquant.forward_pass import copies, in_order
from rlquant.network.modules import QuantizedWeight
from rlquant.network_inputs import Inputs, require_inputs
from rlquant.paths import PathLike, path_of
from rlquant.quantizers import ActivationQuantizer

CALIBRATION_SAMPLES = 512
CALIBRATION_BATCH = 64
OTHER_EXPORTS = {GGUF: "export_gguf", COMPRESSED_TENSORS: "export_compressed_tensors"}
HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class OnnxExport:
    """What `export_onnx` wrote.

    Attributes:
        path: the file.
        bytes: its size.
        opset: the lowest that its integers need.
        layers: how each quantized layer is written, in words.
        quantized_between: tensors behind convolutions that were quantized to 8 bits for the
            target, beside the layers' inputs.
        error: largest difference to PyTorch's outputs on the example input, as a share of the
            largest output; None where onnxruntime is not installed.
    """

    path: Path
    bytes: int
    opset: int
    layers: Mapping[str, str]
    quantized_between: int
    error: float | None


@explained
@isolated(seed=0)
def export_onnx(
    quantized: nn.Module,
    example_input: Inputs,
    path: PathLike,
    *,
    target: str | None = None,
    calibration: Data | None = None,
    dynamic_batch: bool = True,
) -> OnnxExport:
    """Write a quantized network as an ONNX file, its weights as packed integers.

    Integer grids are written as integers and scales, all other points as a table that codes are
    looked up in; quantized inputs as QuantizeLinear and DequantizeLinear. All of it computes the
    same numbers as the PyTorch network, up to the order of sums. Files compute in float32: what is
    written of a network of half precision is that network in float32, inputs too.

    With `target="onnxruntime-int8"` the file is made for speed: BatchNorm becomes part of the
    scales, and what convolutions hand to residual sums gets 8 bits too, so that whole stretches
    run in integers. Outputs then differ by a few steps of those 8 bits; `error` says how much.
    With "onnxruntime-int4" Linear layers run in 4-bit kernels, which by default round their
    inputs to 8 bits. With "onnxruntime-matmulnbits" Linear layers and embeddings run in kernels of
    2, 4 or 8 bits in blocks of 32, 64 or 128 weights, which compute with float inputs.

    Args:
        quantized: what `rlquant.quantize`, `rlquant.load` or `problem.build` returned.
        example_input: a batch as the network takes it; several inputs as a tuple, or by name where
            they are the first arguments of its forward.
        path: usually `*.onnx`; an existing file is replaced.
        target: "onnxruntime-int8", "onnxruntime-int4" or "onnxruntime-matmulnbits", to write what
            their kernels take and refuse what they cannot express; None for everything that ONNX
            can.
        calibration: for "onnxruntime-int8", data for the ranges between layers; by default the
            example input.
        dynamic_batch: leave the length of the first axis of every input open.

    Returns:
        What was written, and how far it is from PyTorch.

    Raises:
        NetworkError: not a quantized network, one in float64, or one that PyTorch cannot export, or
            layers that the target cannot express, each of which is named.
        DataError: inputs that are empty, not finite or no tensors.
        UnknownNameError: no such target.
        SettingsError: no path, a package is not installed, or the target is gguf or
            compressed-tensors, which `export_gguf` and `export_compressed_tensors` write.
        StorageError: the file cannot be written.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, _ = toy_network()
        >>> config = rlquant.QuantizationConfig((rlquant.LayerChoice("hidden", 4),))
        >>> quantized = rlquant.quantize(network, config, calibration=data)
        >>> written = rlquant.export_onnx(quantized, data[0][:2], "network.onnx")
        >>> written.error < 1e-5
        True
    """
    file = path_of("path", path)
    layers = quantized_layers(quantized)
    if target in OTHER_EXPORTS:
        raise SettingsError(f"export_onnx writes no {target}; use rlquant.{OTHER_EXPORTS[target]}")
    if target is not None:
        _require_expressible(target_named(target), layers)
    _require_modules(layers)
    _require_no_float64(quantized)
    require_exporter()
    from rlquant.export.onnx.lowering import lowered
    from rlquant.export.onnx.trace import trace

    on_cpu = _in_float32(_on_cpu(quantized))
    inputs = in_float32(checked_inputs(on_cpu, example_input))
    expected = _outputs(on_cpu, inputs)
    traced_with = _two_samples(inputs) if dynamic_batch else inputs
    traced = trace(on_cpu, quantized_layers(on_cpu), traced_with, dynamic_batch)
    size = CALIBRATION_BATCH if dynamic_batch else len(inputs[0])
    samples = batches_of(on_cpu, inputs, calibration, size=size) if target == INT8 else []
    content, described, between = lowered(traced, target, samples)
    error = _error(expected, content, inputs)
    write_file(file, content)
    opset = traced.model.opset_imports[""]
    return OnnxExport(file, len(content), opset, described, between, error)


def checked_inputs(network: nn.Module, example_input: Inputs) -> tuple[Tensor, ...]:
    """Return example inputs in order, on the CPU; `DataError` where they are none."""
    inputs = in_order(network, require_inputs("example_input", example_input), "example_input")
    found = tuple(tensor.detach().cpu() for tensor in inputs)
    for tensor in found:
        shape = tuple(tensor.shape)
        if not tensor.numel():
            raise DataError(f"example_input of shape {shape} is empty; give at least one sample")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DataError(f"example_input of shape {shape} has numbers that are NaN or infinite")
    return found


def _outputs(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the tensors that a network gives, in order; `NetworkError` where it gives none."""
    try:
        with torch.no_grad():
            given = network(*copies(inputs))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in inputs]
        reason = " ".join(str(error).split())
        raise NetworkError(
            f"this {type(network).__name__} cannot run example_input of {shapes}: {reason}"
        ) from error
    return [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]


def _require_expressible(target: Target, layers: Mapping[str, QuantizedLayer]) -> None:
    refused = refusals(target, (layer.weight.choice for layer in layers.values()))
    if refused:
        lines = "".join(f"\n  layer {layer!r}: {reason}" for layer, reason in refused.items())
        raise NetworkError(
            f"target {target.name!r} cannot express {counted(len(refused), 'layer')}; search with "
            f"this target, which offers what it can:{lines}"
        )


def _require_modules(layers: Mapping[str, QuantizedLayer]) -> None:
    parts = {name: layer.site.kind for name, layer in layers.items() if layer.site.is_part}
    if parts:
        name, kind = next(iter(parts.items()))
        raise NetworkError(
            f"layer {name!r} ({len(parts)} of its kind in all): an ONNX file cannot hold quantized "
            f"weights that are a part of their module ({kind}); quantize with these layers in "
            f"exclude, or export rlquant.dequantize(quantized) with torch.onnx"
        )


def _require_no_float64(network: nn.Module) -> None:
    for name, tensor in _own_tensors(network):
        if tensor.dtype == torch.float64:
            raise NetworkError(
                f"{name!r} is of type {tensor.dtype}; ONNX files are written of float32 networks, "
                f"and of float16 and bfloat16 ones"
            )


def _own_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what is the network's own: float16 scales of ours are read as float32."""
    for place, module in network.named_modules():
        if not isinstance(module, (QuantizedWeight, ActivationQuantizer)):
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None:
                    yield f"{place}.{name}".lstrip("."), tensor


def _in_float32(network: nn.Module) -> nn.Module:
    """Return a network that computes in float32, a copy of one of half precision."""
    if not any(tensor.dtype in HALVES for _, tensor in _own_tensors(network)):
        return network
    found = independent_copy(network)
    for _, tensor in _own_tensors(found):
        if tensor.dtype in HALVES:
            tensor.data = tensor.data.float()
    return found


def in_float32(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return tensors with those of half precision in float32."""
    return tuple(t.float() if t.dtype in HALVES else t for t in tensors)


def _on_cpu(quantized: nn.Module) -> nn.Module:
    """Return the network, a copy where it is not on the CPU or not in eval mode."""
    devices = {tensor.device.type for tensor in quantized.state_dict(keep_vars=True).values()}
    if devices <= {"cpu"} and not any(module.training for module in quantized.modules()):
        return quantized
    return independent_copy(quantized).cpu().eval()


def _two_samples(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return a batch of at least two: PyTorch takes a length of one for a constant."""
    if inputs and all(tensor.dim() and len(tensor) == 1 for tensor in inputs):
        return tuple(torch.cat([tensor, tensor]) for tensor in inputs)
    return inputs


def batches_of(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    calibration: Data | None,
    samples: int = CALIBRATION_SAMPLES,
    size: int = CALIBRATION_BATCH,
) -> list[tuple[Tensor, ...]]:
    """Return batches of inputs for ranges: of the calibration data, or the inputs themselves.

    Raises:
        DataError: data that are none, or other inputs than the example's.
    """
    if calibration is None:
        return [inputs]
    taken = take_samples(calibration, samples, name="calibration", device=torch.device("cpu"))
    given = in_float32(in_order(network, taken.inputs, "calibration"))
    shapes = [[(tuple(t.shape[1:]), t.dtype) for t in some] for some in (given, inputs)]
    if shapes[0] != shapes[1]:
        raise DataError(f"calibration has inputs of {shapes[0]}, example_input is {shapes[1]}")
    columns = (torch.split(tensor, size) for tensor in given)
    batches = list(zip(*columns, strict=True))
    return [batch for batch in batches if len(batch[0]) == size] or batches


def _error(expected: Sequence[Tensor], content: bytes, inputs: tuple[Tensor, ...]) -> float | None:
    """Return the largest difference of the file's outputs, as a share of the largest one."""
    try:
        session = open_session(content)
    except SettingsError:  # not installed
        return None
    wanted = [tensor.double().numpy() for tensor in expected]
    found = [array.astype(np.float64) for array in run_session(session, inputs)]
    largest = max((float(np.abs(w).max(initial=0.0)) for w in wanted), default=0.0)
    apart = [float(np.abs(f - w).max(initial=0.0)) for f, w in zip(found, wanted, strict=True)]
    return max(apart, default=0.0) / (largest or 1.0)
