"""PPO learns a world whose answer is known, and leaves the process as it was."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from rlquant import SearchSpace
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents.search.result import SearchResult
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.ppo.searcher import Learning, MaskedPPO
from rlquant_envs import LayerwiseQuantization

SPACE = SearchSpace(bits=(2, 3, 4, 5, 6, 8))
LAYERS, EVALUATIONS = 8, 120


@cache
def searched(name: str) -> SearchResult:
    return make_searcher(name).search(ToyProblem(LAYERS, 4.0, SPACE), EVALUATIONS, seed=0)


def mean_of_last(result: SearchResult) -> float:
    return float(np.mean([e.value for e in result.history[-len(result.history) // 3 :]]))


@pytest.mark.parametrize("name", ["masked-ppo", "ppo"])
def test_it_learns(name: str) -> None:
    """The configurations it tries last close half of the way from random to the optimum.

    The world has 6^8 configurations; the knapsack is exact on it. Measured: about eight tenths.
    """
    optimum = searched("knapsack").history[-1].value
    chance = mean_of_last(searched("random"))
    learnt = mean_of_last(searched(name))
    assert chance < optimum - 0.4
    assert learnt > chance + 0.5 * (optimum - chance)


def test_masks_keep_a_single_decision_from_ever_being_repaired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repaired = []
    step = LayerwiseQuantization.step

    def spying(self: LayerwiseQuantization, action: np.ndarray) -> object:
        result = step(self, action)
        repaired.append(result[4]["repaired"])
        return result

    monkeypatch.setattr(LayerwiseQuantization, "step", spying)
    for name, expected in (("masked-ppo", False), ("ppo", True)):
        repaired.clear()
        make_searcher(name).search(ToyProblem(6, 3.5, SPACE), 20, seed=0)
        assert any(repaired) is expected


def test_settings_reach_the_agent() -> None:
    session = Session(ToyProblem(4, 4.0), 10)
    searcher = MaskedPPO(environments=2, episodes=4, hidden=16, epochs=3, clip=0.3)
    model = searcher.make_model(
        searcher.make_environments(Learning(session, 0)), len(session.layers), seed=0
    )
    assert (model.n_envs, model.n_steps, model.n_epochs) == (2, 2 * 4, 3)  # type: ignore[attr-defined]
    assert model.gamma == 1.0
    assert model.clip_range(1.0) == 0.3  # type: ignore[attr-defined]
    assert session.history == []


def test_fewer_evaluations_than_environments() -> None:
    result = MaskedPPO(environments=8).search(ToyProblem(4, 4.0), 3, seed=0)
    assert (len(result.history), result.stopped) == (3, "evaluations")


def test_when_it_only_repeats_itself_it_says_so() -> None:
    problem = ToyProblem(1, 40.0, MIXED, loss_of=lambda config: float(config["layer0"].bits))
    result = MaskedPPO(entropy=0.0, learning_rate=0.05).search(problem, 10, seed=0)
    assert len(result.history) < 10
    assert (result.stopped, result.episodes) == ("episodes", 20 * 10)
