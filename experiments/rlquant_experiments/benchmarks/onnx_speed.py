"""Benchmark of exported 8-bit networks against onnxruntime's own quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig, tasks
from rlquant.data import take_samples
from rlquant.export.onnx.exporter import export_onnx
from rlquant.export.onnx.lowering import serialized, without_traces
from rlquant.export.onnx.runtime import open_session
from rlquant.export.onnx.trace import trace
from rlquant.export.targets import INT8
from rlquant.profiling.sessions import times_of_files
from rlquant_experiments.benchmarks.figure import Figure

CALIBRATION = 512
BATCH = 64


def onnx_speed(task: str, batches: tuple[int, ...] = (1, 64), rounds: int = 200) -> list[Figure]:
    """Set the 8-bit export against onnxruntime's static quantization, at each batch size.

    Args:
        task: whose network, with all layers at 8 bits.
        batches: samples of a run.
        rounds: paired runs at the first batch size; others take as long in all.
    """
    torch.set_num_threads(1)
    loaded = tasks.load(task)
    device = torch.device("cpu")
    samples = take_samples(loaded.train, CALIBRATION, name="training", device=device).positional[0]
    network = loaded.network.cpu()
    with TemporaryDirectory() as folder:
        ours = _ours(network, samples, loaded.train, Path(folder))
        files = [path.read_bytes() for path in (ours, _theirs(network, samples, Path(folder)))]
    found = []
    for batch in batches:
        turns = max(10, rounds * batches[0] // batch)
        taken, theirs = times_of_files(files, (samples,), batch, 1, turns).tolist()
        detail = (
            f"{1e3 * taken:.3f} ms, onnxruntime's own static quantization {1e3 * theirs:.3f} ms"
        )
        name = f"8-bit export of {task}, batch {batch}"
        found.append(Figure(name, taken / theirs, "x static", 1.0, detail=detail))
    return found


def _ours(network: nn.Module, samples: Tensor, data: Any, folder: Path) -> Path:
    layers = rlquant.find_layers(network, samples[:2])
    choices = (LayerChoice(facts.name, 8, activation_bits=8) for facts in layers)
    quantized = rlquant.quantize(
        network,
        QuantizationConfig(tuple(choices)),
        calibration=data,
        calibration_samples=CALIBRATION,
    )
    path = folder / "ours.onnx"
    export_onnx(quantized, samples[:BATCH], path, target=INT8, calibration=data)
    return path


def float_file(network: nn.Module, inputs: Sequence[Tensor]) -> bytes:
    """Return the float network as the contents of an ONNX file."""
    model = trace(network, {}, tuple(inputs), dynamic_batch=True).model
    without_traces(model, {})
    return serialized(model)


def _theirs(network: nn.Module, samples: Tensor, folder: Path) -> Path:
    """Quantize the float file as onnxruntime's documentation says: per channel, unsigned inputs."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, prepared, path = (folder / f"{name}.onnx" for name in ("float", "prepared", "theirs"))
    plain.write_bytes(float_file(network, [samples[:BATCH]]))
    name = open_session(plain).get_inputs()[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter(torch.split(samples, BATCH))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else {name: batch.numpy()}

    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path
