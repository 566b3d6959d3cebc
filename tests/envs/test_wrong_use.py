"""Wrong use of the layerwise environment: named, early, with what to do."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from rlquant import Budget, RlquantError, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_envs import LayerwiseQuantization
from small_networks import trained


def test_a_step_outside_an_episode_says_what_to_do() -> None:
    env = LayerwiseQuantization(ToyProblem(1))
    with pytest.raises(RlquantError, match=r"call reset\(\) first"):
        env.step(np.array([0]))
    env.reset(seed=0)
    env.step(np.array([0]))
    with pytest.raises(RlquantError, match=r"call reset\(\) first"):
        env.step(np.array([0]))


@pytest.mark.parametrize("action", [[0, 0], [], [4], [-1]])
def test_an_action_outside_the_action_space_is_refused(action: list[int]) -> None:
    env = LayerwiseQuantization(ToyProblem(1))
    env.reset(seed=0)
    with pytest.raises(SettingsError, match="one option index a head"):
        env.step(np.array(action, dtype=np.int64))


@pytest.mark.parametrize(
    "keyword",
    [
        {"task": "digits/mlp"},
        {"seed": 0},
        {"fidelity": "calibrated"},
        {"space": SearchSpace(bits=(4,))},
        {"store": "evaluations.sqlite"},
    ],
)
def test_what_makes_a_problem_is_refused_beside_a_problem(keyword: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="leave them out where problem is given"):
        LayerwiseQuantization(ToyProblem(1), **keyword)


def test_a_keyword_that_it_has_not_is_named_in_pythons_words() -> None:
    # TorchRL gives frameskip to every environment, and leaves it out where it reads these words.
    name = "rlquant_envs:rlquant/TabularQuantization-v0"
    with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'"):
        gymnasium.make(name, frameskip=1)


def test_an_empty_sequence_of_budgets_is_refused() -> None:
    with pytest.raises(SettingsError, match="budget"):
        LayerwiseQuantization(ToyProblem(1), budget=[])


@pytest.mark.parametrize("problem", [3, "digits/mlp", Budget.average_bits(3.0), trained])
def test_what_is_no_problem_is_named(problem: Any) -> None:
    with pytest.raises(SettingsError, match=r"LayerwiseQuantization: problem is .* without layers"):
        LayerwiseQuantization(problem)


@pytest.mark.parametrize("budget", [3.0, "3", [Budget.average_bits(3.0), 4.0], {"limit": 3.0}])
def test_what_is_no_budget_is_named(budget: Any) -> None:
    with pytest.raises(SettingsError, match="is no Budget"):
        LayerwiseQuantization(ToyProblem(1), budget=budget)
    if not isinstance(budget, list):
        env = LayerwiseQuantization(ToyProblem(1))
        with pytest.raises(SettingsError, match="is no Budget"):
            env.reset(options={"budget": budget})


def test_a_reward_that_cannot_judge_the_problem_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlquant.testing.toy_problem.FLOAT_LOSS", -1.0)
    with pytest.raises(SettingsError, match="give reward='loss'"):
        LayerwiseQuantization(ToyProblem(1))
    env = LayerwiseQuantization(ToyProblem(1, loss_of=lambda config: -0.25), reward="loss")
    env.reset(seed=0)
    assert env.step(np.array([0]))[1] == -0.75
