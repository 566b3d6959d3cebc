"""What every searcher promises, on problems whose optimum is known.

`experiments/tests/baselines/test_conformance.py` runs all of it on the baselines kept there.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlquant import QuantizationConfig, Score, SearchSpace
from rlquant_agents.search.result import STOPPED, Evaluation, SearchResult
from rlquant_agents.search.searcher import make_searcher, searchers
from rlquant_agents.search.session import EPISODES_PER_EVALUATION, Callback, Session
from toy_problem import MIXED, ToyProblem

TESTS = Path(__file__).parents[1]

DETERMINISTIC = {"uniform", "knapsack", "greedy", "knapsack-weight-error", "pairwise"}
"""Searchers that draw nothing, or nothing here: every seed gives the same history."""

BLIND = {"uniform", "knapsack-weight-error"}
"""Searchers that learn nothing from evaluations: they may end anywhere."""

ASKS_ONCE = {"knapsack-weight-error"}
"""Searchers that are over before their second question."""

NEAR = 0.01
"""How far above the optimum the log loss may end; random configurations lie 0.3 above on average.
What is blind is no search and may end anywhere."""

PROBLEMS: dict[str, Callable[[], ToyProblem]] = {
    "bits": lambda: ToyProblem(4, 4.0),
    "mixed": lambda: ToyProblem(3, 5.0, MIXED),
    "kept": lambda: ToyProblem(
        3, 12.0, SearchSpace(bits=(2, 4), method=("post_training", "float"))
    ),
    "one layer": lambda: ToyProblem(1, 3.5, SearchSpace(bits=(2, 3, 4))),
    "one option": lambda: ToyProblem(3, 5.0, SearchSpace(bits=(4,))),
    "one of all": lambda: ToyProblem(1, 5.0, SearchSpace(bits=(4,))),
}


@pytest.fixture(params=searchers())
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@dataclass
class Diary(Callback):
    """Writes down what it hears, and interrupts at one evaluation."""

    interrupt_at: int = 0
    started: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    results: list[SearchResult] = field(default_factory=list)

    def on_start(self, session: Session) -> None:
        self.started += 1

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)
        if evaluation.number == self.interrupt_at:
            raise KeyboardInterrupt

    def on_end(self, session: Session, result: SearchResult) -> None:
        self.results.append(result)


def keys(result: SearchResult) -> list[str]:
    return [evaluation.config.key for evaluation in result.history]


# --- what is asked and what is returned


@pytest.mark.parametrize("kind", PROBLEMS)
def test_every_kind_of_space_ends_in_the_best_feasible_configuration_asked(
    name: str, kind: str
) -> None:
    problem = PROBLEMS[kind]()
    evaluations = 20
    result = make_searcher(name).search(problem, evaluations, seed=1)
    feasible = [e for e in result.history if e.feasible]
    best = max(feasible, key=lambda e: (e.value, -e.score.size_bytes))
    assert result.best == best.config
    assert result.score == best.score
    assert problem.feasible.fits(problem.feasible.indices(result.best))
    assert result.score.average_bits <= problem.budget.limit
    assert [e.config for e in result.history] == problem.evaluated
    assert len(set(problem.evaluated)) == len(problem.evaluated) <= evaluations
    assert result.episodes <= EPISODES_PER_EVALUATION * evaluations
    assert (result.searcher, result.seed) == (name, 1)
    assert result.stopped in STOPPED
    if problem.feasible.count() == 1:
        assert result.stopped in ("exhausted", "finished")


@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("evaluations", [1, 2, 7])
def test_the_tightest_and_the_loosest_budgets_are_kept(
    name: str, fraction: float, evaluations: int
) -> None:
    problem = ToyProblem(3, 40.0, MIXED)
    problem = problem.with_budget(problem.within(fraction))
    result = make_searcher(name).search(problem, evaluations, seed=0)
    assert result.score.average_bits <= problem.budget.limit
    assert len(problem.evaluated) <= evaluations
    if fraction == 0.0:
        assert problem.feasible.spent(problem.feasible.indices(result.best)) == (
            problem.feasible.smallest
        )


def test_with_enough_evaluations_it_finds_the_optimum(name: str) -> None:
    problem = ToyProblem(3, 4.0)
    assert problem.feasible.count() == 31
    result = make_searcher(name).search(problem, 31, seed=0)
    above = math.log(result.score.loss / problem.best_loss())
    assert above >= -1e-12
    if name not in BLIND:
        assert above <= NEAR


# --- reproducible


def test_the_same_seed_gives_the_same_history(name: str) -> None:
    runs = [make_searcher(name).search(ToyProblem(4, 4.0), 25, seed=5) for _ in range(2)]
    assert keys(runs[0]) == keys(runs[1])
    assert runs[0].best == runs[1].best
    assert runs[0].stopped == runs[1].stopped


def test_another_seed_gives_another_history(name: str) -> None:
    evaluations = 90 if name == "local-swap" else 40  # which draws only where it is stuck
    search = make_searcher(name).search
    runs = [search(ToyProblem(4, 4.0), evaluations, seed=seed) for seed in (5, 6)]
    assert (keys(runs[0]) == keys(runs[1])) is (name in DETERMINISTIC)


IN_ANOTHER_PROCESS = """
import json, sys
import torch
torch.set_num_threads(1)
from rlquant_agents.search.searcher import make_searcher
from toy_problem import ToyProblem
runs = {name: make_searcher(name).search(ToyProblem(4, 4.0), 25, seed=5) for name in sys.argv[1:]}
print(json.dumps({name: [e.config.key for e in run.history] for name, run in runs.items()}))
"""


def test_another_process_gives_the_same_history() -> None:
    names = ("masked-ppo", "tpe", "local-swap")
    answer = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, *names],
        cwd=TESTS,  # python -c looks for modules there
        capture_output=True,
        text=True,
        check=True,
    )
    there = json.loads(answer.stdout)
    for name in names:
        assert there[name] == keys(make_searcher(name).search(ToyProblem(4, 4.0), 25, seed=5))


def test_global_generators_stay_as_they_were(name: str) -> None:
    def states() -> tuple[Any, ...]:
        kind, numbers, *rest = np.random.get_state()
        return random.getstate(), kind, np.array(numbers).tolist(), rest, torch.get_rng_state()

    before = states()
    make_searcher(name).search(ToyProblem(3, 4.0), 20, seed=0)
    after = states()
    assert after[:-1] == before[:-1]
    assert torch.equal(after[-1], before[-1])


# --- watched and interrupted


def test_a_callback_hears_of_each_evaluation_once(name: str) -> None:
    diary = Diary()
    result = make_searcher(name).search(ToyProblem(3, 4.0), 15, 0, diary)
    assert diary.started == 1
    assert tuple(diary.evaluations) == result.history
    assert [e.number for e in result.history] == list(range(1, len(result.history) + 1))
    assert diary.results == [result]


def test_interrupted_it_returns_the_best_so_far(name: str) -> None:
    if name in ASKS_ONCE:
        pytest.skip("it is over before it can be interrupted")

    diary = Diary(interrupt_at=2)
    problem = ToyProblem(3, 4.0)
    result = make_searcher(name).search(problem, 15, 0, diary)
    assert result.stopped == "interrupted"
    assert problem.feasible.fits(problem.feasible.indices(result.best))
    # the cheapest one is asked where nothing feasible was
    assert len(result.history) == 2 + (not any(e.feasible for e in result.history[:2]))
    assert diary.results == [result]


def test_interrupted_while_measuring_it_returns_the_best_so_far(name: str) -> None:
    if name in ASKS_ONCE:
        pytest.skip("it is over before it can be interrupted")

    class Interrupted(ToyProblem):
        asked = 0

        def evaluate(self, config: QuantizationConfig) -> Score:
            self.asked += 1
            if self.asked == 2:
                raise KeyboardInterrupt
            return super().evaluate(config)

    problem = Interrupted(3, 4.0)
    result = make_searcher(name).search(problem, 15, 0)
    assert result.stopped == "interrupted"
    assert 1 <= len(result.history) <= 2
    assert problem.feasible.fits(problem.feasible.indices(result.best))


def test_losses_that_are_not_finite_stop_nothing(name: str) -> None:
    def broken(config: QuantizationConfig) -> float:
        return math.inf if config["layer0"].bits < 4 else 1.0 / sum(c.bits for c in config)

    problem = ToyProblem(3, 4.5, loss_of=broken)
    result = make_searcher(name).search(problem, 15, seed=0)
    assert math.isfinite(result.score.loss)
