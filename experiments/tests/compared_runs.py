"""Runs with losses by hand on small tables, for several test files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rlquant import Budget, LayerChoice, QuantizationConfig, Score, TabularProblem
from rlquant.testing import random_table
from rlquant_experiments.comparison.runs import Run
from rlquant_experiments.comparison.stratum import RegretScale, Stratum

CONFIG = QuantizationConfig((LayerChoice("only", 3),))
SCORE = Score(loss=1.0, accuracy=0.5, size_bytes=100, average_bits=2.5, size_ratio=0.1, bops=1)


def run(searcher: str, *curve: float, seed: int = 0, **more: object) -> Run:
    """A run with these best losses, of 9 episodes and 2 seconds."""
    score = replace(SCORE, loss=curve[-1])
    plain = Run(searcher, seed, CONFIG, score, (score,), np.array(curve), 9, 2.0, "evaluations")
    return replace(plain, **more)  # type: ignore[arg-type]


def stratum(regrets: Mapping[str, Sequence[Sequence[float]]], seed: int = 0) -> Stratum:
    """A small table, and runs with these regrets; NaN before the first within the budget."""
    table = replace(random_table(4, interaction=1.0, seed=seed), name=f"table-{seed}")
    problem = TabularProblem(table, Budget.average_bits(4.0))
    scale = RegretScale.of(problem)
    low, high = scale.optimum.loss, scale.uniform.loss

    def made(label: str, number: int, found: Sequence[float]) -> Run:
        losses = np.array(found) * (high - low) + low
        last = float(losses[-1]) if math.isfinite(losses[-1]) else high
        return run(
            label, *losses, seed=number, score=replace(scale.optimum, loss=last), seconds=0.5
        )

    runs = {
        label: [made(label, number, found) for number, found in enumerate(of)]
        for label, of in regrets.items()
    }
    return Stratum(table.name, problem, runs, scale)


def two_strata() -> list[Stratum]:
    """Three searchers with two seeds on two tables, four evaluations; one is made once."""
    return [
        stratum(
            {
                "agent": [[0.5, 0.5, 0.0], [0.6, 0.2, 0.2, 0.0]],
                "random": [[0.9, 0.6, 0.4, 0.4], [0.8, 0.4, 0.4, 0.2]],
                "uniform": [[1.5, 1.0]],
            }
        ),
        stratum(
            {
                "agent": [[math.nan, 0.4, 0.3, 0.1], [0.5, 0.2, 0.1, 0.1]],
                "random": [[0.9, 0.5, 0.5, 0.4], [0.8, 0.4, 0.3, 0.2]],
                "uniform": [[1.0]],
            },
            seed=1,
        ),
    ]
