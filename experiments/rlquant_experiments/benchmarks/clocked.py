"""A search whose evaluations are clocked, with some of them done in another way as well."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean
from typing import Any

from tqdm import tqdm

from rlquant import QuantizationConfig, QuantizationProblem
from rlquant.evaluation.evaluator import Evaluator
from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Callback, Session
from rlquant_experiments.benchmarks.figure import seconds

COMPARED = 40
"""So many evaluations are also done in the other way, spread over the whole."""


def evaluator_of(problem: QuantizationProblem) -> Evaluator:
    """Return the evaluator of a problem that does not train."""
    evaluator = problem.evaluator
    assert isinstance(evaluator, Evaluator)
    return evaluator


class ClockedSearch(Callback):
    """Runs a search once and knows what its evaluations took.

    Args:
        problem: whose evaluator is clocked from now on.
        evaluations: of the search.
        otherwise: evaluates a configuration in the other way.
    """

    def __init__(
        self,
        problem: QuantizationProblem,
        evaluations: int,
        otherwise: Callable[[QuantizationConfig], object],
    ) -> None:
        self._problem, self._evaluations, self._otherwise = problem, evaluations, otherwise
        self._stride = max(1, evaluations // COMPARED)
        self._bar = tqdm(total=evaluations, unit="evaluation")
        self.seconds = 0.0
        self.compared: list[float] = []
        evaluator = evaluator_of(problem)
        name = "measure"  # races and whole evaluations
        setattr(evaluator, name, self._clocked(getattr(evaluator, name)))

    def run(self, searcher: str) -> SearchResult:
        """Search with seed 0."""
        self._bar.set_description(searcher)
        with self._bar:
            return make_searcher(searcher).search(self._problem, self._evaluations, 0, self)

    @property
    def ratio(self) -> float:
        """How much longer the other way takes."""
        return fmean(self.compared) * self._evaluations / self.seconds

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Evaluate every so many configurations in the other way."""
        self._bar.update(1)
        if evaluation.number % self._stride == 0:
            self.compared.append(seconds(lambda: self._otherwise(evaluation.config)))

    def _clocked(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            found = work(*args, **keywords)
            self.seconds += time.perf_counter() - start
            return found

        return timed
