"""What a task's network becomes on the disk and in onnxruntime, at uniform and at searched bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rlquant import Budget, LayerChoice, QuantizationConfig, QuantizationProblem, SearchSpace
from rlquant.data import Samples
from rlquant.export.onnx.exporter import export_onnx, float_onnx
from rlquant.export.onnx.runtime import open_session, run_session
from rlquant.export.packed import pack
from rlquant.profiling.sessions import times_of_files
from rlquant.targets import INT8
from rlquant.tasks import Task
from rlquant_agents.searcher import make_searcher

UNIFORM = (2, 3, 4)
KERNEL_BITS = 8
BATCHES = (1, 64)
Answers = npt.NDArray[np.int64]

SECONDS = 4.0
"""Time in which the networks take turns, at each batch size."""


@dataclass(frozen=True)
class Exported:
    """One quantized network of a task.

    Attributes:
        name: "2 bits", "8 bits", "searched" ...
        loss: on the validation samples, by PyTorch.
        average_bits: stored, scales included.
        predicted: bytes of the packed file by its cost, before anything was quantized.
        packed: bytes of that file.
        coded: bytes of it with entropy coding.
        onnx: bytes of the file for onnxruntime.
        error: largest difference of an output, as a share of the largest output.
        agreement: share of the validation samples that are classified as by PyTorch.
        onnx_loss: on the validation samples, by onnxruntime.
    """

    name: str
    loss: float
    average_bits: float
    predicted: int
    packed: int
    coded: int
    onnx: int
    error: float
    agreement: float
    onnx_loss: float


@dataclass(frozen=True)
class TaskExport:
    """What became of a task's network.

    Attributes:
        task: its name.
        float_loss: of the float network.
        float_bytes: of its tensors.
        float_onnx: bytes of its ONNX file.
        networks: the quantized ones.
        seconds: by name ("float" and those of `networks`), the medians of a run at `BATCHES`.
    """

    task: str
    float_loss: float
    float_bytes: int
    float_onnx: int
    networks: tuple[Exported, ...]
    seconds: dict[str, tuple[float, ...]]


def study_export(
    name: str,
    task: Task,
    *,
    searcher: str = "auto",
    evaluations: int = 100,
    budget: float = 3.0,
    seed: int = 0,
    seconds: float = SECONDS,
    told: Callable[[str], object] | None = None,
) -> TaskExport:
    """Quantize, search, pack, export and run the network of a task.

    All layers have 8-bit inputs, as 8-bit kernels need. The search chooses their weights' bits.

    Args:
        name: of the task.
        task: on the CPU.
        searcher: name.
        evaluations: of the search.
        budget: average bits that the search keeps.
        seed: of the search.
        seconds: in which the networks take turns at each batch size.
        told: of each finished step.
    """
    problem = QuantizationProblem(
        task.network,
        task.train,
        task.validation,
        budget=Budget.average_bits(budget),
        space=SearchSpace(bits=(2, 3, 4, 5, 6, 8), activation_bits=(KERNEL_BITS,)),
    )
    configs = {f"{bits} bits": uniform(problem, bits) for bits in (*UNIFORM, KERNEL_BITS)}
    found = make_searcher(searcher).search(problem, evaluations, seed)
    configs["searched"] = found.best
    tell = told or (lambda _: None)
    tell("searched")
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "float.onnx"
        float_size = plain.write_bytes(
            float_onnx(task.network, problem.validation.first(64).inputs)
        )
        files, networks = {"float": plain}, []
        for label, config in configs.items():
            files[label] = Path(folder) / f"{label}.onnx"
            networks.append(_exported(label, config, problem, task, files[label]))
            tell(label)
        times = _times(files, problem.validation, seconds)
    return TaskExport(
        name,
        problem.float_score.loss,
        problem.costs.size.float_bytes,
        float_size,
        tuple(networks),
        times,
    )


def uniform(problem: QuantizationProblem, bits: int) -> QuantizationConfig:
    """Return the same bits for every layer, with 8-bit inputs."""
    choices = (
        LayerChoice(f.name, bits, points="clipped", activation_bits=KERNEL_BITS)
        for f in problem.layers
    )
    return QuantizationConfig(tuple(choices))


def _exported(
    name: str, config: QuantizationConfig, problem: QuantizationProblem, task: Task, path: Path
) -> Exported:
    """Pack and export one configuration, and compare the file's outputs with PyTorch's."""
    score, quantized = problem.evaluate(config), problem.build(config)
    samples = problem.validation
    written = export_onnx(quantized, samples.inputs, path, target=INT8, calibration=task.train)
    found = run_session(open_session(path), samples.inputs)[0]
    summed, _ = problem.objective(torch.from_numpy(found), samples.targets)
    assert written.error is not None
    return Exported(
        name,
        score.loss,
        score.average_bits,
        score.size_bytes,
        len(pack(quantized)),
        len(pack(quantized, entropy_coding=True)),
        written.bytes,
        written.error,
        float((found.argmax(axis=1) == _answers(quantized, samples)).mean()),
        float(summed) / len(samples),
    )


def _answers(network: nn.Module, samples: Samples) -> Answers:
    with torch.no_grad():
        answers: Answers = network(*samples.inputs).argmax(dim=1).numpy()
    return answers


def _times(
    files: dict[str, Path], samples: Samples, seconds: float
) -> dict[str, tuple[float, ...]]:
    """Return the median seconds of a run of every file, at each batch size."""
    contents = [path.read_bytes() for path in files.values()]
    found: dict[str, tuple[float, ...]] = dict.fromkeys(files, ())
    for batch in BATCHES:
        once = float(times_of_files(contents, samples.inputs, batch, 1, 2).sum())
        rounds = int(np.clip(seconds / once, 5, 2000))
        times = times_of_files(contents, samples.inputs, batch, 1, rounds)
        for name, middle in zip(files, times.tolist(), strict=True):
            found[name] += (middle,)
    return found
