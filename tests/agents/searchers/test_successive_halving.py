"""Successive halving on a toy with cheap fidelities, and on a small network that is trained."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.config import QuantizationConfig
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.successive_halving import SuccessiveHalving, best_of, rung_sizes
from tuned_problems import tuned


class Laddered(ToyProblem):
    """A toy of the highest fidelity; lower ones see the same loss with an error of their own."""

    fidelity = "trained"
    error = 0.0

    def at_fidelity(self, fidelity: str) -> Laddered:
        lower = Laddered(len(self.layers), self.budget.limit, self.space)
        lower.fidelity = fidelity  # type: ignore[assignment]
        lower.error = {"calibrated": 0.3, "tuned": 0.1}[fidelity]
        lower.evaluated = self.evaluated
        return lower

    def loss(self, config: QuantizationConfig) -> float:
        wrong = sum(int(choice.layer[-1]) % 3 for choice in config if choice.bits == 2)
        return super().loss(config) * math.exp(self.error * wrong / 3)


@given(st.integers(1, 500), st.integers(1, 3), st.integers(2, 5))
def test_rungs_share_out_every_evaluation(evaluations: int, rungs: int, reduction: int) -> None:
    sizes = rung_sizes(evaluations, rungs, reduction)
    assert sum(sizes) == evaluations
    assert min(sizes) >= 0
    assert sizes[-1] >= 1
    if evaluations >= 50:
        assert sizes == sorted(sizes, reverse=True)


def test_the_shares_fall_by_the_reduction() -> None:
    assert rung_sizes(210, 3, 4) == [160, 40, 10]


def test_the_best_of_each_rung_are_asked_at_the_next() -> None:
    problem = Laddered(4, 4.0)
    result = SuccessiveHalving(reduction=3).search(problem, 39, seed=0)
    assert len(result.history) == 39
    screened = [e for e in result.history if not e.final]
    assert len(screened) == 36
    first, second = screened[:27], screened[27:]
    assert [e.config for e in second] == best_of([e.config for e in first], first, 9)
    final = [e for e in result.history if e.final]
    assert [e.config for e in final] == best_of([e.config for e in second], second, 3)
    assert result.best in [e.config for e in final]


def test_what_was_screened_is_never_the_result_nor_in_the_front() -> None:
    problem = Laddered(4, 4.0)
    result = SuccessiveHalving().search(problem, 30, seed=1)
    final = {e.config for e in result.history if e.final}
    assert result.best in final
    assert {config for config, _ in result.pareto} <= final


def test_a_trained_problem_is_screened_at_the_fidelities_below() -> None:
    problem = tuned()
    result = SuccessiveHalving(reduction=3).search(problem, 8, seed=0)
    fidelities = [e.score.fidelity for e in result.history]
    assert fidelities == ["calibrated"] * 6 + ["tuned"] * 2
    assert result.score.fidelity == "tuned"
    assert problem.evaluate(result.best) == result.score


def test_it_can_start_higher() -> None:
    problem = Laddered(4, 4.0)
    searcher = SuccessiveHalving(start="tuned")
    assert searcher.rungs(Session(problem, 5)) == ("tuned",)
    assert SuccessiveHalving(start="trained").rungs(Session(problem, 5)) == ()


def test_a_problem_without_lower_fidelities_cannot_be_screened() -> None:
    session = Session(ToyProblem(3, 4.0), 5)
    config = session.feasible.config([0, 0, 0])
    with pytest.raises(SettingsError, match="cannot be screened at 'calibrated'"):
        session.screen(config, "calibrated")


def test_a_configuration_is_screened_once() -> None:
    session = Session(Laddered(3, 4.0), 5)
    config = session.feasible.config([0, 0, 0])
    first = session.screen(config, "tuned")
    assert session.screen(config, "tuned") is first
    assert session.screen(config, "calibrated") is not first
    assert len(session.history) == 2
    assert session.best is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"reduction": 1}, "reduction=1"), ({"start": "half"}, "start='half', use one of")],
)
def test_wrong_settings_are_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        SuccessiveHalving(**settings)  # type: ignore[arg-type]
