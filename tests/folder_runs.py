"""Searches in run folders, some of them killed, for the tests of run folders."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlquant import (
    Budget,
    EvaluationSettings,
    QuantizationProblem,
    SearchSpace,
)
from rlquant.testing.toy_problem import ToyProblem
from rlquant_agents import Callback, SearchResult, search_problem
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session
from small_networks import samples_of, trained


def rows_of(out: Path) -> list[dict[str, str]]:
    with open(out / "evaluations.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def run(out: Path | str, problem: Any = None, **arguments: Any) -> SearchResult:
    settings: dict[str, Any] = {"searcher": "random", "evaluations": 12, "seed": 3}
    return search_problem(problem or ToyProblem(3), out=out, **{**settings, **arguments})


class Kill(Exception):
    """Stands for kill -9: nothing after it runs."""


class KillAfter(Callback):
    """Ends the process, so to speak, when that many evaluations were asked for."""

    def __init__(self, evaluations: int, how: type[BaseException] = Kill) -> None:
        self._evaluations = evaluations
        self._how = how

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        if evaluation.number == self._evaluations:
            raise self._how


def killed(out: Path, after: int, problem: Any = None, **arguments: Any) -> None:
    with pytest.raises(Kill):
        run(out, problem, callback=KillAfter(after), **arguments)


def small_problem(bits: Sequence[int] = (2, 4, 8)) -> QuantizationProblem:
    return QuantizationProblem(
        trained("mlp"),
        samples_of("mlp", 64, seed=1),
        samples_of("mlp", 64, seed=2),
        budget=Budget.average_bits(8.0),
        space=SearchSpace(bits=tuple(bits)),
        evaluation=EvaluationSettings(calibration_samples=32),
    )
