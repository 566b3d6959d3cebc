"""Times of ONNX files: many files in turns, without all of them in memory, and one file alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from rlquant.export.onnx.runtime import feed, open_session
from rlquant.profiling.clock import Seconds, medians, times_in_turns

MEMORY = 2**28
"""Bytes of files that are open at the same time; onnxruntime takes many times as much."""
RUNS = 200
SECONDS = 3.0
"""Runs of one file, fewer where they would take longer than this."""


def times_of_files(
    files: Sequence[bytes],
    inputs: Sequence[Tensor],
    batch: int,
    threads: int,
    rounds: int,
    told: Callable[[int, int], object] | None = None,
) -> Seconds:
    """Return the median seconds of a run of each file.

    Files that do not fit `MEMORY` together are timed in several parts, each beside the first
    file, to which all are scaled.

    Args:
        files: contents.
        inputs: a batch as the network takes it.
        batch: samples of a run.
        threads: of onnxruntime.
        rounds: runs of each.
        told: of rounds that are finished, and all there are.
    """
    size = max(1, MEMORY // max(len(files[0]), 1) - 1)
    parts = [files[start : start + size] for start in range(1, len(files), size)] or [[]]
    found: list[float] = []
    first = 0.0
    for number, part in enumerate(parts):
        done = number * rounds
        report = None if told is None else partial(_told_of, told, done, len(parts) * rounds)
        tasks = _runs([files[0], *part], inputs, batch, threads)
        middle = medians(times_in_turns(tasks, rounds, report))
        first = first or float(middle[0])
        found += (middle[1:] * first / middle[0]).tolist()
    return np.array([first, *found])


def seconds_of_file(
    path: Path, inputs: Sequence[Tensor], batch: int, threads: int, runs: int = RUNS
) -> float:
    """Return the median seconds of a run of one ONNX file."""
    task = _runs([path], inputs, batch, threads)
    once = float(times_in_turns(task, 2).min())
    rounds = int(np.clip(SECONDS / max(once, 1e-9), 5, runs))
    return float(np.median(times_in_turns(task, rounds)))


def repeated(tensor: Tensor, batch: int) -> Tensor:
    """Return `batch` samples on the CPU, the given ones again where there are fewer."""
    times = -(-batch // len(tensor))
    return tensor.repeat(times, *[1] * (tensor.dim() - 1))[:batch].cpu()


def _runs(
    files: Sequence[bytes | Path], inputs: Sequence[Tensor], batch: int, threads: int
) -> list[Callable[[], object]]:
    samples = [repeated(tensor, batch) for tensor in inputs]
    sessions = [open_session(file, threads) for file in files]
    return [partial(session.run, None, feed(session, samples)) for session in sessions]


def _told_of(told: Callable[[int, int], object], before: int, total: int, done: int) -> None:
    told(before + done, total)
