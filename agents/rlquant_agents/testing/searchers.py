"""Conformance suite for searchers, on toy problems whose optimum is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from rlquant import QuantizationConfig, Score, SearchSpace
from rlquant.testing import ToyProblem
from rlquant.testing.toy_problem import MIXED
from rlquant_agents.search.result import STOPPED, Evaluation, SearchResult
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import EPISODES_PER_EVALUATION, Callback, Session

NEAR = 0.01
"""How far above the optimum the log loss may end; random configurations lie 0.3 above."""

PROBLEMS: dict[str, Callable[[], ToyProblem]] = {
    "bits": lambda: ToyProblem(4, 4.0),
    "mixed": lambda: ToyProblem(3, 5.0, MIXED),
    "float": lambda: ToyProblem(
        3, 12.0, SearchSpace(bits=(2, 4), method=("post_training", "float"))
    ),
    "tied layers": lambda: ToyProblem(4, 4.0, SearchSpace(bits=(2, 3, 8), tie="layer[02]")),
    "one layer": lambda: ToyProblem(1, 3.5, SearchSpace(bits=(2, 3, 4))),
    "one option": lambda: ToyProblem(3, 5.0, SearchSpace(bits=(4,))),
    "one of all": lambda: ToyProblem(1, 5.0, SearchSpace(bits=(4,))),
}


class SearcherConformance:
    """Guarantees of every searcher; inherit from it and write `make_searcher`.

    Attributes:
        draws: it draws at random, so that another seed gives another history.
        finds_optimum: on a toy problem, with as many evaluations as it has configurations, it ends
            at most 0.01 above the smallest log loss.
        asks_again: it asks for more than one configuration.
    """

    draws: ClassVar[bool] = True
    finds_optimum: ClassVar[bool] = True
    asks_again: ClassVar[bool] = True

    def make_searcher(self) -> Searcher:
        """Return the searcher that is tested."""
        raise NotImplementedError(f"{type(self).__name__}: write make_searcher(self)")

    @pytest.fixture
    def searcher(self) -> Searcher:
        """Return what is tested; overridden, with `params`, to test several."""
        return self.make_searcher()

    @pytest.mark.parametrize("kind", PROBLEMS)
    def test_ends_in_the_best_feasible_configuration_asked(
        self, searcher: Searcher, kind: str
    ) -> None:
        problem = PROBLEMS[kind]()
        evaluations = 8
        result = searcher.search(problem, evaluations, seed=1)
        feasible = [e for e in result.history if e.feasible]
        best = max(feasible, key=lambda e: (e.value, -e.score.size_bytes))
        assert result.best == best.config
        assert result.score == best.score
        assert problem.feasible.fits(problem.feasible.indices(result.best))
        assert result.score.average_bits <= problem.budget.limit
        assert [e.config for e in result.history] == problem.evaluated
        assert len(set(problem.evaluated)) == len(problem.evaluated) <= evaluations
        assert result.episodes <= EPISODES_PER_EVALUATION * evaluations
        assert (result.searcher, result.seed) == (searcher.name, 1)
        assert result.stopped in STOPPED
        if problem.feasible.count() == 1:
            assert result.stopped in ("exhausted", "finished")

    @pytest.mark.parametrize(
        ("fraction", "evaluations"),
        [(0.0, 1), (0.0, 7), (0.02, 1), (0.02, 2), (0.5, 7), (1.0, 2)],
    )
    def test_keeps_the_tightest_and_the_loosest_budgets(
        self, searcher: Searcher, fraction: float, evaluations: int
    ) -> None:
        problem = ToyProblem(3, 40.0, MIXED)
        problem = problem.with_budget(problem.within(fraction))
        result = searcher.search(problem, evaluations, seed=0)
        assert result.score.average_bits <= problem.budget.limit
        assert len(problem.evaluated) <= evaluations
        if fraction == 0.0:
            spent = problem.feasible.spent(problem.feasible.indices(result.best))
            assert spent == problem.feasible.smallest

    def test_finds_the_optimum_with_enough_evaluations(self, searcher: Searcher) -> None:
        problem = ToyProblem(2, 4.0)
        assert problem.feasible.count() == 8
        result = searcher.search(problem, 8, seed=0)
        above = math.log(result.score.loss / problem.best_loss())
        assert above >= -1e-12
        if self.finds_optimum:
            assert above <= NEAR

    def test_the_seed_decides_the_history(self, searcher: Searcher) -> None:
        first, again, other = (
            keys(searcher.search(ToyProblem(3, 4.0), 8, seed=seed)) for seed in (5, 5, 6)
        )
        assert first == again
        assert (first == other) is not self.draws

    def test_global_generators_stay_as_they_were(self, searcher: Searcher) -> None:
        before = generator_states()
        searcher.search(ToyProblem(3, 4.0), 10, seed=0)
        assert generator_states() == before

    def test_a_callback_hears_of_each_evaluation_once(self, searcher: Searcher) -> None:
        diary = Diary()
        result = searcher.search(ToyProblem(3, 4.0), 10, 0, diary)
        assert diary.started == 1
        assert tuple(diary.evaluations) == result.history
        assert [e.number for e in result.history] == list(range(1, len(result.history) + 1))
        assert diary.results == [result]

    def test_interrupted_it_returns_the_best_so_far(self, searcher: Searcher) -> None:
        self._require_that_it_asks_again()
        diary = Diary(interrupt_at=2)
        problem = ToyProblem(3, 4.0)
        result = searcher.search(problem, 10, 0, diary)
        assert result.stopped == "interrupted"
        assert problem.feasible.fits(problem.feasible.indices(result.best))
        # the cheapest one is asked where nothing feasible was
        assert len(result.history) == 2 + (not any(e.feasible for e in result.history[:2]))
        assert diary.results == [result]

    def test_interrupted_while_measuring_it_returns_the_best_so_far(
        self, searcher: Searcher
    ) -> None:
        self._require_that_it_asks_again()
        problem = InterruptedProblem(3, 4.0)
        result = searcher.search(problem, 10, 0)
        assert result.stopped == "interrupted"
        assert 1 <= len(result.history) <= 2
        assert problem.feasible.fits(problem.feasible.indices(result.best))

    def test_losses_that_are_not_finite_stop_nothing(self, searcher: Searcher) -> None:
        def broken(config: QuantizationConfig) -> float:
            return math.inf if config["layer0"].bits < 4 else 1.0 / sum(c.bits for c in config)

        problem = ToyProblem(3, 4.5, loss_of=broken)
        result = searcher.search(problem, 10, seed=0)
        assert math.isfinite(result.score.loss)

    def _require_that_it_asks_again(self) -> None:
        if not self.asks_again:
            pytest.skip("it is over before it can be interrupted")


@dataclass
class Diary(Callback):
    """Writes down what it hears, and interrupts at one evaluation."""

    interrupt_at: int = 0
    started: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    results: list[SearchResult] = field(default_factory=list)

    def on_start(self, session: Session) -> None:
        """Count the start."""
        self.started += 1

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Write the evaluation down."""
        self.evaluations.append(evaluation)
        if evaluation.number == self.interrupt_at:
            raise KeyboardInterrupt

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Write the result down."""
        self.results.append(result)


class InterruptedProblem(ToyProblem):
    """A toy problem that is interrupted while it measures the second configuration."""

    asked = 0

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score the first configuration."""
        self.asked += 1
        if self.asked == 2:
            raise KeyboardInterrupt
        return super().evaluate(config)


def keys(result: SearchResult) -> list[str]:
    """Return the configurations asked, in order."""
    return [evaluation.config.key for evaluation in result.history]


def generator_states() -> tuple[Any, ...]:
    """Return the states of the global random generators of Python, NumPy and PyTorch."""
    kind, numbers, *rest = np.random.get_state()
    torch_state = torch.get_rng_state().tolist()
    return random.getstate(), kind, np.array(numbers).tolist(), rest, torch_state
