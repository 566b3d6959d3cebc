"""Benchmark of GGUF files: weights quantized to ggml's types and encoded, and a file written."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.gguf.container import GgufFile
from rlquant.gguf.ggml_types import QUANTIZED, TYPES, GgmlType
from rlquant.gguf.network import read_network
from rlquant.quantizers.formats import form_of
from rlquant.tasks.pretrained.smollm2 import FILE
from rlquant_experiments.benchmarks.figure import Figure

WEIGHTS = 135e6
"""Of the network for which the targets are."""
PLAIN_TARGET, K_TARGET, EXPORT_TARGET = 20.0, 120.0, 10.0
ROUNDS = 3


def encoding(rows: int = 1024, columns: int = 1536) -> list[Figure]:
    """Time every type on a matrix, as seconds of the processor for 135 million weights.

    Args:
        rows: of the matrix.
        columns: of the matrix, divisible by 256.
    """
    from gguf import GGMLQuantizationType, quants

    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    weight = 0.05 * torch.randn(rows, columns, generator=draws)
    importance = torch.rand(1, columns, generator=draws).expand_as(weight)
    theirs = _seconds(lambda: quants.quantize(weight.numpy(), GGMLQuantizationType.Q4_0), weight)
    return [_encoding(TYPES[name], weight, importance, theirs) for name in QUANTIZED]


def _encoding(own: GgmlType, weight: Tensor, importance: Tensor, theirs: float) -> Figure:
    choice = LayerChoice("any", own.bits, points=own.points[0], group_size=own.group)
    form = form_of(weight, choice)
    quantize = form.format.quantize
    assert quantize is not None
    taken = _seconds(lambda: own.encode(quantize(weight, importance, form)), weight)
    return Figure(
        f"135 million weights as {own.name}, by what their errors count",
        taken,
        "CPU s",
        K_TARGET if own.name.endswith("K") else PLAIN_TARGET,
        detail=f"{taken / theirs:.1f} x Q4_0 of the package gguf, {theirs:.1f} s",
    )


def _seconds(work: Callable[[], object], weight: Tensor) -> float:
    return median(_cpu_seconds(work) for _ in range(ROUNDS)) * WEIGHTS / weight.numel()


def _cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def writing(source: Path | None = None) -> list[Figure]:
    """Time `export_gguf` of SmolLM2-135M in Q4_0.

    Args:
        source: another GGUF file in place of it.

    Raises:
        DataError: the package that ships it is missing.
    """
    torch.set_num_threads(1)
    file = FILE.find() if source is None else source
    network = read_network(GgufFile.open(file))
    names = [n for n, m in network.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"]
    choice = LayerChoice("", 4, points="symmetric", group_size=32)
    quantized = rlquant.quantize(network, QuantizationConfig.uniform(choice, names))
    with TemporaryDirectory() as folder:
        out = Path(folder) / "model.gguf"
        taken = _cpu_seconds(lambda: rlquant.export_gguf(quantized, out, source=file))
        size = out.stat().st_size
    return [
        Figure("export_gguf", taken, "CPU s", EXPORT_TARGET, detail=f"a file of {size:,} bytes")
    ]
