"""Uniform configurations, the same option for every layer: the best is what searches must beat."""

from __future__ import annotations

from rlquant import FeasibleSet, Problem, QuantizationConfig, Reward, Score
from rlquant.config import Method
from rlquant.score import bind_reward


def uniform_configs(feasible: FeasibleSet) -> list[QuantizationConfig]:
    """Return every uniform configuration that keeps the budget, the most expensive first."""
    rows = [[option] * len(feasible) for option in range(len(feasible.options))]
    ordered = sorted(rows, key=feasible.spent, reverse=True)
    return [feasible.config(row) for row in ordered if feasible.fits(row)]


def uniform_evaluations(problem: Problem, evaluations: int) -> int:
    """Return how many uniform configurations a search of so many evaluations is compared with.

    All of them; where each has to be trained, no more than the search itself trains.
    """
    everything = max(1, len(uniform_configs(problem.feasible)))
    return everything if problem.fidelity == "calibrated" else min(everything, evaluations)


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
