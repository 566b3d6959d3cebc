"""Exports in blocks of few bits beside the float file and beside onnxruntime's own quantizer.

All files are of one network and run in turns, so that ratios are medians over rounds in which both
met the same disturbances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.config import Points, Rounding
from rlquant.data import take_samples
from rlquant.export.onnx.exporter import export_onnx
from rlquant.export.onnx.runtime import feed, open_session, run_session
from rlquant.export.targets import MATMULNBITS
from rlquant.forward_pass import in_order
from rlquant.profiling.clock import Seconds, times_in_turns
from rlquant.profiling.sessions import repeated
from rlquant.tasks import Task
from rlquant_experiments.benchmarks.onnx_speed import float_file

FLOAT, THEIRS = "float32", "onnxruntime's quantizer, 4 bits"
CPU = torch.device("cpu")
ROUNDED = 4
"""The accuracy level at which kernels round their inputs to 8 bits."""


@dataclass(frozen=True)
class Uniform:
    """One choice for all Linear layers.

    Attributes:
        bits: of a weight.
        points: where the points lie.
        embeddings: whether embeddings have it too.
    """

    bits: int
    points: Points = "clipped"
    embeddings: bool = False

    def __str__(self) -> str:
        more = ", zero points" if self.points == "zero_point" else ""
        return f"rlquant, {self.bits} bits{more}{', embeddings too' if self.embeddings else ''}"


UNIFORM = (
    Uniform(4),
    Uniform(4, "zero_point"),
    Uniform(4, embeddings=True),
    Uniform(8),
    Uniform(2),
)
SAME = str(UNIFORM[0])
"""What is set against onnxruntime's own."""


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        name: of the file.
        bytes: of it.
        loss: of its outputs against the float network's.
        difference: largest one to PyTorch's outputs of the same network, as a share of the largest
            output; None for files that are not ours.
        seconds: median of a run, by batch size.
        ratios: medians over rounds of seconds by those of the float file, by batch size.
    """

    name: str
    bytes: int
    loss: float
    difference: float | None
    seconds: Mapping[int, float]
    ratios: Mapping[int, float]


@dataclass(frozen=True)
class Comparison:
    """All files, and the ratio of ours to theirs.

    Attributes:
        rows: the float file first.
        against: medians over rounds of seconds of `SAME` by those of `THEIRS`, by accuracy level
            and batch size.
    """

    rows: tuple[Row, ...]
    against: Mapping[tuple[int, int], float]


def block_speed(
    task: Task,
    batches: Sequence[int],
    rounds: int,
    block: int,
    samples: int,
    *,
    tokens: int | None = None,
    uniform: Sequence[Uniform] = UNIFORM,
) -> Comparison:
    """Measure files of a task's network.

    Args:
        task: whose objective compares outputs with the float network's.
        batches: samples of a run.
        rounds: runs of each file at each batch size.
        block: weights that share a scale.
        samples: of calibration, and of validation for the loss.
        tokens: of each sample that are run; None for all.
        uniform: files of ours, the one that is set against theirs first.
    """
    taken = take_samples(task.validation, samples, name="validation", device=CPU)
    whole = in_order(task.network, taken.inputs, "validation")
    inputs = [tensor[:, :tokens].contiguous() for tensor in whole]
    with TemporaryDirectory() as folder:
        files, differences = _files(task, inputs, uniform, block, samples, Path(folder))
    rounded = {name: _at_level(files[name], ROUNDED) for name in (SAME, THEIRS)}
    levels = {f"{name}, inputs of 8 bits": content for name, content in rounded.items()}
    everything = {**files, **levels}
    times = {batch: _times(list(everything.values()), inputs, batch, rounds) for batch in batches}
    wanted = run_session(open_session(files[FLOAT]), inputs)[0]
    rows = tuple(
        Row(
            name,
            len(content),
            _loss(run_session(open_session(content), inputs)[0], wanted),
            differences.get(name),
            {b: float(np.median(t[:, column])) for b, t in times.items()},
            {b: float(np.median(t[:, column] / t[:, 0])) for b, t in times.items()},
        )
        for column, (name, content) in enumerate(everything.items())
    )
    return Comparison(rows, dict(_against(list(everything), times)))


def _against(names: list[str], times: Mapping[int, Seconds]) -> Iterator[tuple[Any, float]]:
    for level, more in ((0, ""), (ROUNDED, ", inputs of 8 bits")):
        ours, theirs = (names.index(f"{name}{more}") for name in (SAME, THEIRS))
        for batch, taken in times.items():
            yield (level, batch), float(np.median(taken[:, ours] / taken[:, theirs]))


def _files(
    task: Task,
    inputs: Sequence[Tensor],
    uniforms: Sequence[Uniform],
    block: int,
    samples: int,
    folder: Path,
) -> tuple[dict[str, bytes], dict[str, float | None]]:
    """Return the contents of all files, and how far ours are from PyTorch."""
    network = task.network.cpu()
    few = [tensor[:2] for tensor in inputs]
    files, differences = {FLOAT: float_file(network, few)}, {}
    files[THEIRS] = _theirs(files[FLOAT], block)
    for uniform in uniforms:
        quantized = _quantized(network, task, inputs, uniform, block, samples)
        written = export_onnx(quantized, tuple(few), folder / "ours.onnx", target=MATMULNBITS)
        files[str(uniform)] = written.path.read_bytes()
        differences[str(uniform)] = written.error
    return files, differences


def _quantized(
    network: nn.Module,
    task: Task,
    inputs: Sequence[Tensor],
    uniform: Uniform,
    block: int,
    samples: int,
) -> nn.Module:
    found = []
    for facts in rlquant.find_layers(network, tuple(tensor[:2] for tensor in inputs)):
        if facts.kind == "linear" or (uniform.embeddings and facts.kind == "embedding"):
            rounding: Rounding = "gptq" if facts.kind == "linear" else "nearest"
            found.append(
                LayerChoice(
                    facts.name, uniform.bits, rounding, points=uniform.points, group_size=block
                )
            )
    return rlquant.quantize(
        network,
        QuantizationConfig(tuple(found)),
        calibration=task.train,
        calibration_samples=samples,
    )


def _theirs(plain: bytes, block: int) -> bytes:
    """Quantize the float file as onnxruntime does: nearest, symmetric, its inputs float."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load_from_string(plain)
    quantizer = MatMulNBitsQuantizer(
        model, bits=4, block_size=block, is_symmetric=True, accuracy_level=0
    )
    quantizer.process()
    content: bytes = quantizer.model.model.SerializeToString()
    return content


def _at_level(content: bytes, level: int) -> bytes:
    """Return a file whose kernels compute at another accuracy level."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            others = [each for each in node.attribute if each.name != "accuracy_level"]
            del node.attribute[:]
            node.attribute.extend([*others, onnx.helper.make_attribute("accuracy_level", level)])
    changed: bytes = model.SerializeToString()
    return changed


def _times(files: Sequence[bytes], inputs: Sequence[Tensor], batch: int, rounds: int) -> Seconds:
    given = [repeated(tensor, batch) for tensor in inputs]
    sessions = [open_session(content) for content in files]
    return times_in_turns([partial(s.run, None, feed(s, given)) for s in sessions], rounds)


def _loss(found: Any, wanted: Any) -> float:
    """Return the mean cosine distance of embeddings, rows of length 1."""
    return float(1 - (found * wanted).sum(axis=1).mean())
