"""Benchmark of assigning one convolution's weights."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from rlquant import LayerChoice, find_layers, tasks
from rlquant.data import take_samples
from rlquant.network.hessians import output_hessian
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor
from rlquant.rounding.adaround import relax
from rlquant.rounding.learned import learn
from rlquant.rounding.reinforce import learn_assignment
from rlquant_experiments.benchmarks.figure import Figure, seconds

IMAGES, BITS = 256, 2
POLICY_TARGET, RELAXATION_TARGET = 3.0, 2.0
ROUNDS = 5


def assignment(task_name: str) -> list[Figure]:
    """Return the seconds for the task's largest convolution, its inputs' moments included.

    Args:
        task_name: a task's name; the targets are for 3x3 convolutions of 9,216 weights.
    """
    torch.set_num_threads(1)
    task = tasks.load(task_name)
    samples = take_samples(task.train, IMAGES, name="train", device=torch.device("cpu"))
    layers = find_layers(task.network, samples.first(2).inputs)
    largest = max(layers, key=lambda facts: facts.parameters)
    weight = task.network.get_submodule(largest.name).weight
    assert isinstance(weight, nn.Parameter)
    plain = weight.detach()
    nearest = quantize_weight(plain, LayerChoice(largest.name, BITS, points="clipped"))

    def with_moments(assign: Callable[[torch.Tensor], QuantizedTensor]) -> Callable[[], object]:
        return lambda: assign(output_hessian(task.network, (largest,), samples)[largest.name])

    ways: dict[str, tuple[float, Callable[[torch.Tensor], QuantizedTensor]]] = {
        "policy": (
            POLICY_TARGET,
            lambda m: learn_assignment(plain, nearest, m, generator=_draws()),
        ),
        "rounding learned": (POLICY_TARGET, lambda m: learn(plain, nearest, m, _draws())),
        "relaxation": (RELAXATION_TARGET, lambda m: relax(plain, nearest, m)),
    }
    detail = f"{largest.name}, {plain.numel():,} weights, {BITS} bits, {IMAGES} images"
    return [
        Figure(
            f"one layer assigned, {name}",
            median(seconds(with_moments(assign)) for _ in range(ROUNDS)),
            "s",
            target,
            detail=detail,
        )
        for name, (target, assign) in ways.items()
    ]


def _draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)
