"""Whole fronts: one search for every budget compared with several searches of one budget each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from rlquant import Budget, Problem, Score
from rlquant.errors import SettingsError
from rlquant.problem.protocol import Complete
from rlquant.score import log_loss
from rlquant_experiments.comparison.runs import Job, run_jobs
from rlquant_experiments.comparison.statistics.hypervolume import (
    at_least,
    hypervolume,
    points_of,
    relative_hypervolume,
)
from rlquant_experiments.comparison.statistics.statistics import Values
from rlquant_experiments.comparison.variants import Variant

BUDGETS = 6
"""Budgets that the searches of one each are split over."""

Between = tuple[float, float]
"""The smallest and the largest budget of a front, in average bits."""
Search = tuple[Variant, float, int]
"""What searches, under how many average bits, and with how many evaluations."""


def conditioned(between: Between, evaluations: int) -> list[Search]:
    """Return one search, of one agent for every budget."""
    lowest, highest = between
    return [(Variant("dyna-ppo", "dyna-ppo", {"lowest": lowest}), highest, evaluations)]


def two_objectives(between: Between, evaluations: int) -> list[Search]:
    """Return one search of NSGA-II, whose second objective is the budget's quantity."""
    return [(Variant.plain("nsga2"), between[1], evaluations)]


def split_over_budgets(between: Between, evaluations: int, *, searcher: str) -> list[Search]:
    """Return a search under each of some budgets, with an equal share of the evaluations."""
    budgets = np.linspace(*between, BUDGETS).tolist()
    return [(Variant.plain(searcher), bits, evaluations // BUDGETS) for bits in budgets]


WAYS: Mapping[str, Callable[[Between, int], list[Search]]] = {
    "dyna-ppo, every budget": conditioned,
    "nsga2": two_objectives,
    "local-swap, split": partial(split_over_budgets, searcher="local-swap"),
    "dyna-ppo, split": partial(split_over_budgets, searcher="dyna-ppo"),
    "random, split": partial(split_over_budgets, searcher="random"),
}
"""Ways to search for a front by name."""


def front_jobs(
    problem: Problem, way: str, between: Between, evaluations: int, seed: int, stem: Path
) -> list[Job]:
    """Return the runs whose fronts together are what a way finds.

    Args:
        problem: under any budget of average bits.
        way: a key of `WAYS`.
        between: the budgets.
        evaluations: of all runs together.
        seed: of the runs.
        stem: what the paths of their files begin with.
    """
    return [
        Job(
            problem.with_budget(Budget.average_bits(bits)),
            variant,
            seed,
            count,
            stem.with_name(f"{stem.name}-{bits:g}-seed{seed}.json"),
        )
        for variant, bits, count in WAYS[way](between, evaluations)
    ]


def front_volumes(
    problems: Mapping[str, Problem],
    ways: Sequence[str],
    between: Between,
    evaluations: int,
    seeds: int,
    folder: Path,
    workers: int = 1,
) -> dict[str, Values] | None:
    """Search for the front of every problem in every way, and return what the fronts dominate.

    Args:
        problems: by name, under any budget of average bits.
        ways: keys of `WAYS`.
        between: the budgets.
        evaluations: of each way in all.
        seeds: runs of each way, with the seeds 0, 1, ...
        folder: keeps the runs.
        workers: processes.

    Returns:
        Hypervolumes by way, shape `(seeds, problems)`; None when interrupted.
    """
    jobs = [
        front_jobs(problem, way, between, evaluations, seed, folder / f"{name}-{_file_name(way)}")
        for way in ways
        for seed in range(seeds)
        for name, problem in problems.items()
    ]
    runs = run_jobs([job for of in jobs for job in of], workers)
    if runs is None:
        return None
    following = iter(runs)
    fronts = [[s for run in islice(following, len(of)) for s in run.front] for of in jobs]
    volumes = [
        volume_of(of[0].problem, between, front) for of, front in zip(jobs, fronts, strict=True)
    ]
    by_way = np.reshape(np.array(volumes), (len(ways), seeds, len(problems)))
    return dict(zip(ways, by_way, strict=True))


def _file_name(way: str) -> str:
    return way.replace(", ", "-").replace(" ", "-")


def volume_of(problem: Problem, between: Between, found: Sequence[Score]) -> float:
    """Return how much of the plane a front dominates.

    On a table relative to the table's own front (see `relative_hypervolume`); on a live problem
    relative to the rectangle between the cheapest configuration's loss at the largest budget and
    the float network's loss at the smallest.
    """
    if isinstance(problem, Complete):
        return relative_hypervolume(problem, found, between)
    lowest, highest = between
    feasible = problem.with_budget(Budget.average_bits(highest)).feasible
    cheapest = problem.evaluate(feasible.config(feasible.costs.argmin(axis=1)))
    reference = np.array([highest, log_loss(cheapest.loss)])
    ideal = np.array([lowest, log_loss(problem.float_score.loss)])
    if not (reference > ideal).all():
        raise SettingsError(
            "the cheapest configuration is as good as the float network: no front can be measured"
        )
    points = at_least(points_of(found, "average_bits"), lowest)
    return hypervolume(points, reference) / float((reference - ideal).prod())
