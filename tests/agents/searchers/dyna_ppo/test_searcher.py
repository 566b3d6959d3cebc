"""The model-based agent beyond what every searcher promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlquant import Budget, TabularProblem
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem, random_table
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.dyna_ppo.searcher import DynaPPO
from rlquant_agents.searchers.sensitivity import measure_effects

FAST = {"environments": 16, "rollouts": 1}


def made_up(bits: float, seed: int = 0) -> TabularProblem:
    return TabularProblem(random_table(5, 6, interaction=0.5, seed=seed), Budget.average_bits(bits))


@pytest.mark.parametrize("seed", [0, 1])
def test_on_problems_with_interactions_it_is_far_below_random_search(seed: int) -> None:
    problem = made_up(3.5, seed)
    optimum = problem.optimum()[1].loss

    def above(name: str, **settings: int) -> float:
        result = make_searcher(name, **settings).search(problem, 60, seed=3)
        return math.log(result.score.loss / optimum)

    assert above("dyna-ppo", **FAST) <= 0.5 * above("random")


def test_a_front_is_searched_between_two_limits() -> None:
    problem = made_up(5.0)
    alone = make_searcher("dyna-ppo", **FAST).search(problem, 60, seed=0)
    several = make_searcher("dyna-ppo", lowest=3.0, **FAST).search(problem, 60, seed=0)

    def best_within(result: object, bits: float) -> float:
        front = result.pareto  # type: ignore[attr-defined]
        return min((s.loss for _, s in front if s.average_bits <= bits), default=math.inf)

    assert best_within(several, 3.2) < best_within(alone, 3.2)
    spent = np.array([evaluation.score.average_bits for evaluation in several.history])
    assert (spent <= 5.0).all()
    assert (spent < 3.6).mean() > 0.1


@pytest.mark.parametrize("lowest", [1.0, 9.0])
def test_a_lowest_limit_that_cannot_be_is_refused(lowest: float) -> None:
    with pytest.raises(SettingsError, match="lowest"):
        DynaPPO(lowest=lowest, **FAST).search(made_up(5.0), 20, seed=0)


def test_a_front_of_races_is_refused_before_anything_is_written() -> None:
    problem = made_up(5.0)
    problem.racing = object()  # type: ignore[attr-defined]
    problem.unmeasured = problem.evaluate  # type: ignore[attr-defined]  # as what races has it
    with pytest.raises(SettingsError, match="lose every race"):
        DynaPPO(lowest=3.0, **FAST).check(problem)


def test_sensitivities_are_measured_first_where_they_are_asked_for() -> None:
    problem = ToyProblem(3, 4.0)
    result = make_searcher("dyna-ppo", sensitivities=True, **FAST).search(problem, 60, seed=0)
    session = Session(problem, 60)
    measure_effects(session)
    measured = [evaluation.config for evaluation in session.history]
    assert [e.config for e in result.history[: len(measured)]] == measured


@pytest.mark.parametrize(
    "settings",
    [
        {"agent": "other"},
        {"batch": 0},
        {"rollouts": -1},
        {"learning_rate": 0.0},
        {"optimism": -1.0},
        {"lowest": -1.0},
        {"patience": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        make_searcher("dyna-ppo", **settings)


@pytest.mark.parametrize("settings", [{"rollouts": 0}, {"neighbours": 0}, {"shaping": True}])
def test_every_part_can_be_left_out(settings: dict[str, object]) -> None:
    problem = ToyProblem(3, 4.0)
    result = make_searcher("dyna-ppo", **{**FAST, **settings}).search(problem, 31, seed=0)
    assert result.score.loss == pytest.approx(problem.best_loss(), rel=0.02)
