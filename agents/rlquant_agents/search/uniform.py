"""Uniform configurations, the same option for every layer: the best is what searches must beat."""

from __future__ import annotations

import numpy as np

from rlquant import FeasibleSet, Problem, QuantizationConfig, Reward, Score
from rlquant.config import Method
from rlquant.cost.feasible import Indices
from rlquant.score import bind_reward


def uniform_row(feasible: FeasibleSet, option: int) -> Indices:
    """Return the vector of one option for every layer; layers without it take their nearest."""
    nearest = np.where(feasible.own, feasible.distance[option], np.inf).argmin(axis=1)
    found: Indices = np.where(feasible.own[:, option], option, nearest)
    return found


def _uniform_rows(feasible: FeasibleSet) -> dict[tuple[int, ...], int]:
    """Return every distinct uniform vector within the budget and its option, costliest first."""
    rows: dict[tuple[int, ...], int] = {}
    for option in range(len(feasible.options)):
        rows.setdefault(tuple(uniform_row(feasible, option).tolist()), option)
    ordered = sorted(rows, key=feasible.spent, reverse=True)
    return {row: rows[row] for row in ordered if feasible.fits(row)}


def uniform_configs(feasible: FeasibleSet) -> list[QuantizationConfig]:
    """Return every uniform configuration that keeps the budget, the most expensive first."""
    return [feasible.config(row) for row in _uniform_rows(feasible)]


def widest_uniforms(feasible: FeasibleSet) -> list[QuantizationConfig]:
    """Return for each combination of the other decisions the widest that fits, widest first.

    So each group size, rounding and way to place points has one: what a search must not end below.
    """
    widest: dict[tuple[object, ...], tuple[int, tuple[int, ...]]] = {}
    for row, number in _uniform_rows(feasible).items():
        option = feasible.options[number]
        others = tuple(getattr(option, decision) for decision in option.decided)
        if others not in widest or option.arithmetic_bits > widest[others][0]:
            widest[others] = option.arithmetic_bits, row
    ordered = sorted(widest.values(), key=lambda found: -found[0])
    return [feasible.config(row) for _, row in ordered]


def uniform_evaluations(problem: Problem, evaluations: int) -> int:
    """Return how many uniform configurations a search of so many evaluations is compared with.

    All of them; where each has to be trained, no more than the search itself trains.
    """
    everything = max(1, len(uniform_configs(problem.feasible)))
    return everything if problem.fidelity == "calibrated" else min(everything, evaluations)


def uniform_notes(problem: Problem, evaluations: int) -> tuple[str, ...]:
    """Return what is to be known of a reference that is not of all uniform configurations."""
    there = len(uniform_configs(problem.feasible))
    measured = uniform_evaluations(problem, evaluations)
    if measured >= there:
        return ()
    return (
        f"uniform is the best of {measured} of {there} uniform configurations within the budget, "
        f"the costliest first: each has to be trained, and no more are than the search trains",
    )


def best_uniform(
    problem: Problem,
    evaluations: int,
    reward: str | Reward = "loss",
    method: Method | None = None,
) -> tuple[QuantizationConfig, Score] | None:
    """Return the best uniform configuration within the budget, of all options there are.

    Each is measured whole, unless it is known. It is the reference of figures, reports, summaries
    and regrets.

    Args:
        problem: gives options and budget.
        evaluations: of the search that is compared; see `uniform_evaluations`.
        reward: what makes one better than another; of equals it is the smaller one.
        method: of its layers; any that there is by default.

    Returns:
        None where no option fits everywhere.
    """
    configs = uniform_configs(problem.feasible)[: uniform_evaluations(problem, evaluations)]
    configs = [c for c in configs if method is None or c.choices[0].method == method]
    value = bind_reward(reward, problem.float_score)
    scored = list(zip(configs, problem.evaluate_many(configs), strict=True))
    return max(scored, key=lambda pair: (value(pair[1]), -pair[1].size_bytes), default=None)
