"""Races in a search: who has to be beaten, and what a configuration counts that was given up."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from problems import bits, counting, problem
from rlquant import Budget, Racing
from rlquant.config import QuantizationConfig
from rlquant.errors import SettingsError
from rlquant.problem.live import QuantizationProblem
from rlquant.score import Score, log_loss_reward, loss_reward
from rlquant.space import SearchSpace
from rlquant_agents import search_problem
from rlquant_agents.search.result import pareto_front
from rlquant_agents.search.session import SearchEnded, Session
from small_networks import samples_of, trained


def raced(racing: Racing | None = None, **other: Any) -> QuantizationProblem:
    settings = {"validation_data": samples_of("mlp", 300, seed=2), "batch_size": 20, **other}
    space = SearchSpace(bits=(1, 4, 8), points=("symmetric",))
    return problem("mlp", trained("mlp"), racing=racing or Racing(), space=space, **settings)


def incumbents(session: Session) -> list[QuantizationConfig | None]:
    """Record the incumbent of each evaluation that the session asks for."""
    asked: list[QuantizationConfig | None] = []
    made = session.problem
    assert isinstance(made, QuantizationProblem)
    evaluate = made.evaluate

    def recorded(config: Any, watch: Any = None, incumbent: Any = None) -> Score:
        asked.append(incumbent)
        return evaluate(config, watch, incumbent)

    made.evaluate = recorded  # type: ignore[method-assign]
    return asked


def test_what_was_given_up_is_neither_final_nor_best_nor_on_the_front() -> None:
    session = Session(raced(), 5)
    best, lost = session.ask(bits(8, 8, 8)), session.ask(bits(1, 1, 1))
    assert lost.score.partial
    assert (lost.final, lost.feasible, lost.candidate) == (False, True, False)
    assert session.best is best
    assert lost.score.average_bits < best.score.average_bits  # else it would not matter
    assert pareto_front(session.history, "average_bits") == [(best.config, best.score)]
    assert session.ask(bits(1, 1, 1)) is lost  # known, and free
    assert session.remaining == 3


def test_a_partial_loss_that_looks_best_is_not_the_best() -> None:
    session = Session(raced(), 5)
    best = session.ask(bits(8, 8, 8))
    made = session.problem
    assert isinstance(made, QuantizationProblem)
    lucky = made.unmeasured(bits(4, 4, 4))

    def evaluate(config: Any, watch: Any, incumbent: Any) -> Score:
        return Score(
            loss=best.score.loss / 2,
            accuracy=1.0,
            size_bytes=lucky.size_bytes,
            average_bits=lucky.average_bits,
            size_ratio=lucky.size_ratio,
            bops=lucky.bops,
            partial=True,
            standard_error=0.1,
        )

    made.evaluate = evaluate  # type: ignore[assignment, method-assign]
    given_up = session.ask(bits(4, 4, 4))
    assert given_up.value > best.value
    assert session.best is best


def test_the_incumbent_is_the_best_within_the_budget() -> None:
    session = Session(raced(budget=Budget.average_bits(8.0)), 9)
    asked = incumbents(session)
    for widths in ((8, 8, 8), (1, 4, 4), (4, 4, 4), (1, 1, 1), (1, 8, 1)):
        session.ask(bits(*widths))
    assert not session.history[0].feasible  # scales and all, so it is nobody's incumbent
    assert asked == [None, None, bits(1, 4, 4), bits(4, 4, 4), bits(4, 4, 4)]


def test_with_top_two_the_second_best_has_to_be_beaten() -> None:
    session = Session(raced(Racing(top=2)), 9)
    asked = incumbents(session)
    for widths in ((1, 4, 4), (8, 8, 8), (1, 1, 1), (8, 8, 4), (1, 1, 4)):
        session.ask(bits(*widths))
    losses = {e.config: e.score.loss for e in session.history if e.final}
    assert asked[:3] == [None, None, bits(1, 4, 4)]  # with one alone there is no second
    assert session.history[2].score.partial
    assert asked[3] == bits(1, 4, 4)
    assert asked[4] == sorted(losses, key=losses.__getitem__)[1]


def test_a_best_that_is_not_finite_does_not_end_every_race() -> None:
    session = Session(raced(), 9)
    made = session.problem
    assert isinstance(made, QuantizationProblem)
    first = session.ask(bits(8, 8, 8))
    looks = made._measurements._looks(first.config)
    assert looks is not None
    looks[0][1] = math.inf
    assert session.ask(bits(1, 1, 1)).final


def test_a_search_ends_when_all_is_known_also_where_some_was_given_up() -> None:
    session = Session(raced(), 100)
    configs = [bits(*widths) for widths in itertools.product((8, 4, 1), repeat=3)]
    for config in configs:
        session.ask(config)
    assert any(not e.final for e in session.history)
    assert len(session.history) == 27
    with pytest.raises(SearchEnded) as ended:
        session.ask(configs[0])
    assert ended.value.reason == "exhausted"


@pytest.mark.parametrize("searcher", ["local-swap", "tpe"])
def test_a_search_does_not_depend_on_what_is_in_the_store(searcher: str, tmp_path: Path) -> None:
    def history(store: Path, **racing: Any) -> list[Any]:
        made = raced(Racing(**racing), store=store)
        result = search_problem(made, searcher=searcher, evaluations=15, seed=1)
        return [(e.config, e.score, e.final) for e in result.history]

    alone, shared = history(tmp_path / "a"), tmp_path / "b"
    filled = raced(store=shared)
    filled.evaluate_many(bits(*widths) for widths in itertools.product((8, 4, 1), repeat=3))
    history(tmp_path / "b", top=2, confidence=0.7)
    with counting() as measured:
        assert history(shared) == alone
        assert history(tmp_path / "a") == alone
    assert any(not final for *_, final in alone)
    assert measured.call_count == 0


def test_the_same_search_gives_the_same_result_again() -> None:
    first, second = (
        search_problem(raced(), searcher="local-swap", evaluations=20, seed=1) for _ in range(2)
    )
    assert [(e.config, e.score) for e in first.history] == [
        (e.config, e.score) for e in second.history
    ]


@pytest.mark.parametrize("reward", ["accuracy", lambda score, _: -score.average_bits])
def test_a_reward_that_is_not_of_the_loss_cannot_race(reward: Any) -> None:
    words = "racing gives up what has the larger loss, .* use reward='log_loss' or 'loss', or a"
    with pytest.raises(SettingsError, match=words):
        Session(raced(), 5, reward=reward)
    assert Session(problem(), 5, reward=reward).best is None


@pytest.mark.parametrize("reward", ["log_loss", "loss", log_loss_reward, loss_reward])
def test_rewards_of_the_loss_race(reward: Any) -> None:
    assert Session(raced(), 5, reward=reward).remaining == 5
