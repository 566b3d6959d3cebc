"""Runs with losses by hand on small tables, which several test files judge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rlquant import Budget, TabularProblem
from rlquant.testing import random_table
from rlquant_experiments.comparison.regret import RegretScale
from rlquant_experiments.comparison.table_run import TableRun
from rlquant_experiments.comparison.table_stratum import Stratum


def stratum(regrets: Mapping[str, Sequence[Sequence[float]]], seed: int = 0) -> Stratum:
    """A small table, and runs with these regrets; NaN before the first within the budget."""
    table = replace(random_table(4, interaction=1.0, seed=seed), name=f"table-{seed}")
    problem = TabularProblem(table, Budget.average_bits(4.0))
    scale = RegretScale.of(problem)
    low, high = scale.optimum.loss, scale.uniform.loss

    def run(label: str, number: int, found: Sequence[float]) -> TableRun:
        losses = np.array(found) * (high - low) + low
        last = float(losses[-1]) if math.isfinite(losses[-1]) else high
        score = replace(scale.optimum, loss=last)
        return TableRun(label, number, score, losses, len(found), 0.5, "evaluations")

    runs = {
        label: [run(label, number, found) for number, found in enumerate(of)]
        for label, of in regrets.items()
    }
    return Stratum(problem, scale, runs)


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
