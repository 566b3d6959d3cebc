"""A search by PPO against the way the published systems evaluate: everything again each episode."""

from __future__ import annotations

from functools import partial
from statistics import fmean

import torch
from torch import Tensor

from rlquant import Budget, QuantizationConfig, QuantizationProblem, Racing, tasks
from rlquant.copying.network_copy import copy_network
from rlquant.evaluation.measure import run_batches
from rlquant.network.calibrate import calibrate
from rlquant.network.weights import quantize_weight
from rlquant_experiments.benchmarks.clocked import ClockedSearch, evaluator_of
from rlquant_experiments.benchmarks.figure import Figure

BUDGET = Budget.average_bits(3.0)


def episodes(task_name: str, evaluations: int) -> list[Figure]:
    """Time the evaluations of a search by masked PPO, whole ones and with racing.

    Args:
        task_name: a task's name.
        evaluations: of each search.
    """
    torch.set_num_threads(1)
    task = tasks.load(task_name)
    data = (task.network, task.train, task.validation)
    found = []
    for racing, target, name in ((None, 1.3, "exactly"), (Racing(), 3.0, "with racing")):
        problem = QuantizationProblem(*data, budget=BUDGET, racing=racing)
        search = ClockedSearch(problem, evaluations, partial(evaluate_again, problem))
        result = search.run("masked-ppo")
        given_up = sum(evaluation.score.partial for evaluation in result.history)
        detail = (
            f"{1e3 * search.seconds / evaluations:.0f} ms each, again "
            f"{1e3 * fmean(search.compared):.0f} ms; {given_up} partial; best loss "
            f"{result.score.loss:.4f}"
        )
        title = f"{evaluations} evaluations of masked PPO, {task_name}, {name}"
        found.append(Figure(title, search.ratio, "x again", target, True, detail))
    return found


def evaluate_again(problem: QuantizationProblem, config: QuantizationConfig) -> float:
    """Copy the network, quantize every layer, calibrate, run all batches; return the loss."""
    evaluator = evaluator_of(problem)
    network = copy_network(problem.network)
    for facts, choice in zip(problem.layers, config, strict=True):
        weight = network.get_submodule(facts.name).weight
        assert isinstance(weight, Tensor)
        quantized = quantize_weight(weight, choice, channel_axis=facts.channel_axis, seed=0)
        weight.data = quantized.dequantize()
    calibrate(network, evaluator.reference, evaluator.calibration)
    return run_batches(network, evaluator.batches, evaluator.objective).loss
