"""An evaluation against the bare forward passes that it cannot do without."""

from __future__ import annotations

from statistics import median

import numpy as np
import torch
from tqdm import trange

from rlquant import Budget, QuantizationConfig, QuantizationProblem, tasks
from rlquant.evaluation.evaluator import Evaluator
from rlquant.forward_pass import run
from rlquant.space import for_layer
from rlquant_experiments.benchmarks.figure import Figure, seconds, words

TARGET = 1.10
NO_LIMIT = Budget.average_bits(64.0)
WARM_UP = 3


def evaluation(task_name: str, count: int, thread_counts: tuple[int, ...]) -> list[Figure]:
    """Compare evaluations, weights quantized before, with forward passes of the float network.

    Args:
        task_name: a task's name.
        count: random configurations to evaluate.
        thread_counts: numbers of torch threads to measure with.
    """
    found = []
    for threads in thread_counts:
        torch.set_num_threads(threads)
        task = tasks.load(task_name)
        problem = QuantizationProblem(task.network, task.train, task.validation, budget=NO_LIMIT)
        warm_weights(problem)
        evaluated, forward = [], []
        configs = random_configs(problem, count + WARM_UP)
        for index in trange(len(configs), desc=f"evaluation, {words(threads)}", unit="pair"):
            times = paired(problem, configs[index], evaluation_first=index % 2 == 0)
            if index >= WARM_UP:
                evaluated.append(times[0])
                forward.append(times[1])
        ratios = [a / b for a, b in zip(evaluated, forward, strict=True)]
        found.append(
            Figure(
                f"evaluation of {task_name}, {words(threads)}",
                median(ratios),
                "x forward",
                TARGET,
                detail=f"{1e3 * median(evaluated):.1f} ms, forward {1e3 * median(forward):.1f} ms",
            )
        )
    return found


def warm_weights(problem: QuantizationProblem) -> None:
    """Quantize every layer at every option."""
    evaluator = problem.evaluator
    assert isinstance(evaluator, Evaluator)
    for name in problem.feasible.names:
        for option in problem.feasible.options:
            evaluator.bank.values(for_layer(option, name))


def random_configs(problem: QuantizationProblem, count: int) -> list[QuantizationConfig]:
    """Draw configurations, each layer's option on its own."""
    generator = np.random.default_rng(0)
    shape = (count, len(problem.feasible))
    drawn = generator.integers(len(problem.feasible.options), size=shape)
    return [problem.feasible.config(row) for row in drawn]


def paired(
    problem: QuantizationProblem, config: QuantizationConfig, *, evaluation_first: bool
) -> tuple[float, float]:
    """Return the seconds of an evaluation and of the forward passes over the same batches."""
    evaluator, network = problem.evaluator, problem.network
    assert isinstance(evaluator, Evaluator)

    def forward() -> None:
        with torch.inference_mode():
            if not evaluator.reference.is_empty:
                run(network, evaluator.calibration.inputs)
            for batch in evaluator.batches:
                run(network, batch.inputs)

    def evaluate() -> None:
        evaluator.measure(config)

    if evaluation_first:
        first = seconds(evaluate)
        return first, seconds(forward)
    first = seconds(forward)
    return seconds(evaluate), first
