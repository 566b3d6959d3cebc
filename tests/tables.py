"""Small tables that several test files share: problems asked for everything."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np

from problems import problem
from rlquant.problem.protocol import Problem
from rlquant.space import SearchSpace
from rlquant.tabular.grouped import GroupedProblem
from rlquant.tabular.table import Table
from small_networks import trained

GROUPS = {"body": ("first", "second"), "last": ("last",)}


def everything(problem: Problem) -> list[tuple[int, ...]]:
    """Every vector of option indices in a table's order."""
    options = range(len(problem.feasible.options))
    return list(itertools.product(options, repeat=len(problem.layers)))


def enumerated(problem: Problem, **names: Any) -> Table:
    """Ask a problem for every configuration."""
    scores = problem.evaluate_many(problem.feasible.config(i) for i in everything(problem))
    losses = [score.loss for score in scores]
    rates = np.nan_to_num([score.accuracy for score in scores])
    correct = np.rint(rates * problem.float_score.samples).astype(np.int64)
    return Table.of(
        problem, losses, correct, **{"name": "small", "task": "none", "command": "ask", **names}
    )


@cache
def grouped_problem() -> GroupedProblem:
    """A live network of three layers in two groups."""
    space = SearchSpace(bits=(2, 3, 8), points=("clipped", "affine"))
    return GroupedProblem(problem("mlp", trained("mlp"), space=space), GROUPS)


@cache
def live_table() -> Table:
    return enumerated(grouped_problem())
