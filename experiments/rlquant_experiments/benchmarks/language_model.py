"""Benchmark of a pretrained network: construction, evaluations and memory, as ratios."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import trange

from rlquant import EvaluationSettings, QuantizationProblem, SearchSpace, tasks
from rlquant.ambient import isolated
from rlquant.evaluation.process_memory import resident_bytes
from rlquant.forward_pass import run
from rlquant.samples import Samples
from rlquant.tasks.task import Task
from rlquant_experiments.benchmarks.clocked import evaluator_of
from rlquant_experiments.benchmarks.evaluation import NO_LIMIT, warm_weights
from rlquant_experiments.benchmarks.figure import Figure
from rlquant_experiments.benchmarks.memory import peak_megabytes
from rlquant_experiments.float_layers import float_layers

SPACE = SearchSpace(bits=(3, 4), group_size=(64,), points=("symmetric",))
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Times:
    """CPU seconds of one thread: what other programs do meanwhile counts little."""

    forward: float
    construction: float
    whole: tuple[float, ...]
    bare: tuple[float, ...]
    last_third: tuple[float, ...]
    calibrated: bool


def language_model(task_name: str, count: int, samples: int) -> list[Figure]:
    """Measure construction, evaluations and memory on a few samples.

    Args:
        task_name: name of a pretrained task. An evaluation of a network that is calibrated runs its
            calibration samples too, and so does the forward pass beside it.
        count: pairs of evaluations, and evaluations of which the peak of memory is taken.
        samples: of calibration, and as many of validation.
    """
    torch.set_num_threads(1)
    times = _times(tasks.load(task_name), count, samples)
    pairs = list(zip(times.whole, times.bare, times.last_third, strict=True))
    peak = _peak(task_name, count, samples)
    return [
        Figure(
            f"construction and evaluator, {task_name}",
            times.construction / times.forward,
            "x forward of its samples",
            5.0,
            detail=f"{times.construction:.1f} s; forward {times.forward:.1f} s",
        ),
        Figure(
            f"evaluation from the bank, {task_name}",
            median(whole / bare for whole, bare, _ in pairs),
            "x forward",
            1.15 if times.calibrated else 1.1,
            detail=f"{median(times.whole):.2f} s, forward {median(times.bare):.2f} s",
        ),
        Figure(
            f"change in the last third of the layers, {task_name}",
            median(last / whole for whole, _, last in pairs),
            "x whole",
            0.45,
            detail=f"{median(times.last_third):.2f} s",
        ),
        Figure(f"peak memory of {2 * count} evaluations, {task_name}", peak, "x network", 4.0),
    ]


def _problem(task: Task, samples: int) -> QuantizationProblem:
    return QuantizationProblem(
        task.network,
        task.train,
        task.validation,
        space=replace(SPACE, exclude=float_layers(task.network)),
        budget=NO_LIMIT,
        objective=task.objective,
        evaluation=EvaluationSettings(calibration_samples=samples, validation_samples=samples),
    )


@isolated()
def _times(task: Task, count: int, samples: int) -> Times:
    started = time.process_time()
    problem = _problem(task, samples)
    evaluator = evaluator_of(problem)
    construction = time.process_time() - started

    def forward(batches: list[Samples]) -> float:
        with torch.inference_mode():
            return _cpu(lambda: [run(problem.network, batch.inputs) for batch in batches])

    parts = evaluator.calibration.batches(problem.evaluation.batch_size or 1)
    both = forward([*parts, *evaluator.batches])
    warm_weights(problem)
    rows = _rows(len(problem.layers), count)
    calibrated = not evaluator.reference.is_empty
    own = [*(parts if calibrated else []), *evaluator.batches]
    found: list[tuple[float, float, float]] = []
    for number in trange(count, desc=f"evaluations of {task.name}", unit="pair"):
        whole, last = (problem.feasible.config(row) for row in rows[2 * number : 2 * number + 2])
        taken = _cpu(partial(evaluator.measure, whole))
        bare = forward(own)
        found.append((taken, bare, _cpu(partial(evaluator.measure, last))))
    wholes, bares, lasts = zip(*found, strict=True)
    return Times(both, construction, wholes, bares, lasts, calibrated)


def _rows(layers: int, count: int) -> list[list[int]]:
    """Return pairs of random rows that agree in their first two thirds."""
    draws = np.random.default_rng(0).integers(len(SPACE.options()), size=(count, layers))
    kept = 2 * layers // 3
    rows = []
    for row in draws.tolist():
        rows += [row, [*row[:kept], *(1 - option for option in row[kept:])]]
    return rows


def _cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _peak(task_name: str, count: int, samples: int) -> float:
    """Return the peak of a process that evaluates, less what Python takes, in float networks."""
    program = (
        "from rlquant_experiments.benchmarks.language_model import report_peak; "
        f"report_peak({task_name!r}, {count}, {samples})"
    )
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


@isolated()
def report_peak(task_name: str, count: int, samples: int) -> None:
    """Evaluate, and write the peak over the float network's bytes to the output."""
    import transformers  # noqa: F401 - what it takes is Python's, not the network's

    torch.set_num_threads(1)
    before = resident_bytes() / MEGABYTE
    task = tasks.load(task_name)
    network = sum(p.nbytes for p in task.network.parameters()) / MEGABYTE
    problem = _problem(task, samples)
    del task  # as `rlquant search` does it: the problem has a copy of the network
    for row in _rows(len(problem.layers), count):
        problem.evaluator.measure(problem.feasible.config(row))
    sys.stdout.write(str((peak_megabytes() - before) / network))
