"""A search in 60 lines without any searcher of ours: local search on a problem, by hand.

A problem has layers, options and a budget, and measures configurations; all else is up to you.
"""

from __future__ import annotations

import sys

import numpy as np

import rlquant
from rlquant import Budget, QuantizationConfig, QuantizationProblem, Score

task = rlquant.tasks.load("digits/mlp")  # a network and data; yours do as well
problem = QuantizationProblem(
    task.network,
    task.train,  # for calibration
    task.validation,  # what configurations are measured on
    budget=Budget.average_bits(3.0),
    space=rlquant.SearchSpace(bits=(2, 3, 4, 8)),
)
evaluations = int(sys.argv[1]) if len(sys.argv) > 1 else 40
generator = np.random.default_rng(0)
feasible = problem.feasible  # what fits the budget: a row of option indices, one a layer
measured: dict[tuple[int, ...], float] = {}


def loss_of(row: tuple[int, ...]) -> float:
    """Quantize, calibrate and measure a configuration; known ones come from memory."""
    if row not in measured:
        measured[row] = problem.evaluate(feasible.config(row)).loss
    return measured[row]


def neighbour(row: tuple[int, ...]) -> tuple[int, ...]:
    """Give one layer another option, and repair what does not fit the budget any more."""
    changed = np.array(row)
    changed[generator.integers(len(changed))] = generator.integers(len(feasible.options))
    return tuple(feasible.repair(changed).tolist())


best = tuple(feasible.sample(generator))
loss_of(best)
for _ in range(20 * evaluations):  # a small space may run out of new neighbours
    if len(measured) == evaluations:
        break
    best = min(best, neighbour(best), key=loss_of)

config: QuantizationConfig = feasible.config(best)
score: Score = problem.evaluate(config)
network = problem.build(config)  # the very network that was measured
size = rlquant.save(network, "minimal.rlq")
assert size == score.size_bytes  # to the byte

print({choice.layer: choice.bits for choice in config})  # noqa: T201
print(f"{score.average_bits:.2f} bits, loss {score.loss:.4f}, {size} bytes")  # noqa: T201
