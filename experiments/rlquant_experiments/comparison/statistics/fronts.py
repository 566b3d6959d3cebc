"""Whole fronts compared: one search for every budget against several searches of one each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rlquant import Budget, Problem
from rlquant.documents import read_as, read_json, shown
from rlquant.errors import FileFormatError, SettingsError
from rlquant.files import reading, write_file
from rlquant.problem.protocol import Complete
from rlquant.score import log_loss
from rlquant.tabular.tabular_problem import Scored
from rlquant_agents.search.searcher import Searcher, make_searcher
from rlquant_agents.search.session import Callback
from rlquant_experiments.comparison.statistics.hypervolume import (
    at_least,
    hypervolume,
    points_of,
    relative_hypervolume,
)

BUDGETS = 6
"""Budgets that the searches of one each are split over."""


@dataclass(frozen=True)
class FrontTask:
    """What a front is searched for on.

    Attributes:
        problem: under any budget of average bits.
        lowest: smallest budget of the front, in average bits.
        highest: the largest.
        evaluations: of the whole search.
        seed: of the search.
    """

    problem: Problem
    lowest: float
    highest: float
    evaluations: int
    seed: int

    def under(self, bits: float) -> Problem:
        """Return the problem under one budget."""
        return self.problem.with_budget(Budget.average_bits(bits))

    def search(
        self, searcher: Searcher, bits: float, evaluations: int, callback: Callback | None
    ) -> Sequence[Scored]:
        """Search under one budget; `KeyboardInterrupt` where that was interrupted."""
        result = searcher.search(self.under(bits), evaluations, self.seed, callback)
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        return result.pareto


Way = Callable[[FrontTask, Callback | None], Sequence[Scored]]
"""Finds configurations with their scores; what is dominated does no harm."""


def conditioned(task: FrontTask, callback: Callback | None = None) -> Sequence[Scored]:
    """Search once, with one agent for every budget between the two."""
    searcher = make_searcher("dyna-ppo", lowest=task.lowest)
    return task.search(searcher, task.highest, task.evaluations, callback)


def two_objectives(task: FrontTask, callback: Callback | None = None) -> Sequence[Scored]:
    """Search once with NSGA-II, whose second objective is the budget's quantity."""
    return task.search(make_searcher("nsga2"), task.highest, task.evaluations, callback)


def split_over_budgets(
    task: FrontTask, callback: Callback | None = None, *, searcher: str
) -> Sequence[Scored]:
    """Search once under each of some budgets, with an equal share of the evaluations."""
    found: list[Scored] = []
    share = task.evaluations // BUDGETS
    for bits in np.linspace(task.lowest, task.highest, BUDGETS):
        found += task.search(make_searcher(searcher), float(bits), share, callback)
    return found


WAYS: Mapping[str, Way] = {
    "dyna-ppo, every budget": conditioned,
    "nsga2": two_objectives,
    "local-swap, split": partial(split_over_budgets, searcher="local-swap"),
    "dyna-ppo, split": partial(split_over_budgets, searcher="dyna-ppo"),
    "random, split": partial(split_over_budgets, searcher="random"),
}
"""Ways to search for a front by name."""


def volume_of(task: FrontTask, found: Sequence[Scored]) -> float:
    """Return how much of the plane a front dominates.

    On a table relative to the table's own front (see `relative_hypervolume`); on a live problem
    relative to the rectangle between the cheapest configuration's loss at the largest budget and
    the float network's loss at the smallest.
    """
    between = task.lowest, task.highest
    if isinstance(task.problem, Complete):
        return relative_hypervolume(task.problem, found, between)
    feasible = task.under(task.highest).feasible
    cheapest = task.problem.evaluate(feasible.config(feasible.costs.argmin(axis=1)))
    reference = np.array([task.highest, log_loss(cheapest.loss)])
    ideal = np.array([task.lowest, log_loss(task.problem.float_score.loss)])
    if not (reference > ideal).all():
        raise SettingsError(
            "the cheapest configuration is as good as the float network: no front can be judged"
        )
    points = at_least(points_of([score for _, score in found], "average_bits"), task.lowest)
    return hypervolume(points, reference) / float((reference - ideal).prod())


@dataclass(frozen=True)
class FrontJob:
    """A search for a front, and the file that keeps what it dominates.

    Attributes:
        name: what is searched is called; problems of one network may have one fingerprint.
        task: the search.
        way: a key of `WAYS`.
        path: the file.
    """

    name: str
    task: FrontTask
    way: str
    path: Path

    def run(self, callback: Callback | None = None) -> float | None:
        """Return the hypervolume, from the file where it is kept; None when interrupted.

        Raises:
            FileFormatError: the file keeps another search, or is damaged.
        """
        described = {
            "problem": self.task.problem.fingerprint,
            "way": self.way,
            "evaluations": self.task.evaluations,
            "seed": self.task.seed,
            "budgets": [self.task.lowest, self.task.highest],
        }
        if self.path.exists():
            return self._read(described)
        try:
            front = WAYS[self.way](self.task, callback)
        except KeyboardInterrupt:
            return None
        found = volume_of(self.task, front)
        write_file(self.path, json.dumps({**described, "hypervolume": found}) + "\n")
        return found

    def _read(self, described: Mapping[str, object]) -> float:
        with reading(self.path):
            try:
                document = read_as(dict[str, Any], read_json(self.path))
                found = read_as(float, document.pop("hypervolume", None), "hypervolume")
            except FileFormatError as error:
                raise FileFormatError(f"no search for a front ({error}); move it away") from error
            if document != described:
                raise FileFormatError(
                    f"keeps another search for a front, {shown(document)}; give another --out"
                )
        return found
