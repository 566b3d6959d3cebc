"""Benchmark of the memory of evaluations beyond plain ones, in processes of their own."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import torch

from rlquant import EvaluationSettings, QuantizationProblem, tasks
from rlquant_experiments.benchmarks.evaluation import NO_LIMIT, random_configs
from rlquant_experiments.benchmarks.figure import Figure

MEGABYTE = 2**20
SLACK = 64
LIMITS = (0, 128, 512, 1024)
"""Megabytes for what is kept."""


def memory(task_name: str, count: int) -> list[Figure]:
    """Measure the peak memory of evaluations under several limits.

    Args:
        task_name: a task's name.
        count: random configurations to evaluate.
    """
    plain = _peak(task_name, count, None)
    found = []
    for limit in LIMITS:
        beyond = max(0.0, _peak(task_name, count, limit) - plain)
        detail = f"peak of {count} evaluations; plain ones {plain:.0f} MB"
        name = f"memory beyond plain evaluations, {task_name}, limit {limit} MB"
        found.append(Figure(name, beyond, "MB", limit + SLACK, detail=detail))
    return found


def _peak(task_name: str, count: int, limit: int | None) -> float:
    """Return the peak resident megabytes of a process that evaluates random configurations."""
    program = (
        "from rlquant_experiments.benchmarks.memory import report_peak; "
        f"report_peak({task_name!r}, {count}, {limit})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(ran.stdout)


def report_peak(task_name: str, count: int, limit: int | None) -> None:
    """Evaluate, and write this process's peak megabytes to its output."""
    torch.set_num_threads(1)
    task = tasks.load(task_name)
    problem = QuantizationProblem(
        task.network,
        task.train,
        task.validation,
        budget=NO_LIMIT,
        evaluation=EvaluationSettings(prefix_bytes=None if limit is None else limit * MEGABYTE),
    )
    for config in random_configs(problem, count):
        problem.evaluator.measure(config)
    sys.stdout.write(str(peak_megabytes()))


def peak_megabytes() -> float:
    """Return this program's peak; `getrusage` would count the process that it was forked from."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = status.read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
