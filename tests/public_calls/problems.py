"""Public calls of problems, live ones and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rlquant
from public_calls import given
from rlquant.testing import random_table


def _make_problem(folder: Path) -> Any:
    problem = given.fresh_problem()
    return problem.fingerprint, problem.float_score, problem.layers


def _evaluate(folder: Path) -> Any:
    problem = given.fresh_problem()
    return problem.evaluate(problem.feasible.config((1, 0, 1)))


def _evaluate_whole(folder: Path) -> Any:
    problem = given.fresh_problem(prefix_bytes=None)
    return problem.evaluate(problem.feasible.config((1, 0, 1)))


def _evaluate_images(folder: Path) -> Any:
    problem = given.images_problem(
        space=rlquant.SearchSpace(bits=(2, 3, 4), activation_bits=(None, 4)),
        store=folder / "evaluations.sqlite",
    )
    config = problem.feasible.config(tuple(i % 2 for i in range(len(problem.layers))))
    return problem.evaluate(config), given.outputs_of(
        problem.build(config), given.prepare().validation_images
    )


def _evaluate_many(folder: Path) -> Any:
    problem = given.fresh_problem()
    rows = [(i, j, 2 - i) for i in range(3) for j in range(3)]
    return problem.evaluate_many(problem.feasible.config(row) for row in rows)


def _scan(folder: Path) -> Any:
    problem = given.fresh_problem()
    return list(problem.scan(problem.feasible.config((i, 1, 0)) for i in range(3)))


def _build(folder: Path) -> Any:
    problem = given.prepare().hessian_based
    return given.outputs_of(
        problem.build(problem.feasible.config((1, 0, 1))), given.prepare().validation
    )


def _evaluate_tuned(folder: Path) -> Any:
    space = rlquant.SearchSpace(bits=(2, 4), method=("ternary", "distilled"), points=("symmetric",))
    problem = given.fresh_problem(fidelity="tuned", space=space, training=given.QUICK)
    config = problem.feasible.config((0, 1, 0))
    return problem.evaluate(config), problem.build(config)


def _race(folder: Path) -> Any:
    problem = given.fresh_problem(racing=rlquant.Racing())
    good, bad = (problem.feasible.config(row) for row in ((2, 2, 2), (0, 0, 0)))
    return problem.evaluate(good), problem.evaluate(bad, incumbent=good)


def _probe(folder: Path) -> Any:
    return rlquant.probe(given.fresh_problem(), samples=12)


def _grouped(folder: Path) -> Any:
    groups = {"body": ("first", "second"), "end": ("last",)}
    problem = rlquant.GroupedProblem(given.fresh_problem(), groups)
    return problem.evaluate(problem.feasible.config((1, 0)))


def _tabular(folder: Path) -> Any:
    problem = rlquant.TabularProblem(given.prepare().table, given.BUDGET)
    return problem.evaluate(problem.feasible.config((1, 0, 1))), rlquant.probe(problem)


def _shipped_table(folder: Path) -> Any:
    return rlquant.table_names(), rlquant.load_table(rlquant.table_names()[0]).float_score


def _random_table(folder: Path) -> Any:
    return random_table(3, 4).measured.losses


CALLS: Mapping[str, Callable[[Path], Any]] = {
    "QuantizationProblem": _make_problem,
    "evaluate": _evaluate,
    "evaluate whole": _evaluate_whole,
    "evaluate images": _evaluate_images,
    "evaluate_many": _evaluate_many,
    "scan": _scan,
    "build": _build,
    "evaluate tuned": _evaluate_tuned,
    "race": _race,
    "probe": _probe,
    "grouped problem": _grouped,
    "tabular problem": _tabular,
    "shipped table": _shipped_table,
    "random table": _random_table,
}
