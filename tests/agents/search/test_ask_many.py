"""Asking a session for several configurations at once."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from problems import bits, problem
from rlquant import QuantizationConfig
from rlquant.evaluation.order import sharing_order
from rlquant.testing import ToyProblem
from rlquant_agents.search.session import SearchEnded, Session


class Expecting(ToyProblem):
    """A toy problem that wants its questions in the opposite order."""

    def expect(self, configs: Iterable[QuantizationConfig]) -> list[int]:
        self.expected = list(configs)
        return list(range(len(self.expected)))[::-1]


def several(toy: ToyProblem) -> list[QuantizationConfig]:
    return [toy.feasible.config(indices) for indices in ([0, 1], [1, 1], [2, 0], [0, 0])]


def test_answers_come_as_asked_and_the_history_as_it_shares_most() -> None:
    toy = Expecting(2)
    configs = several(toy)
    session = Session(toy, 9)
    answers = session.ask_many(configs)
    assert [answer.config for answer in answers] == configs
    assert [answer.number for answer in answers] == [4, 3, 2, 1]
    assert toy.evaluated == toy.expected[::-1] == configs[::-1]
    assert session.evaluate_many(configs) == [answer.score for answer in answers]


def test_without_an_order_of_its_own_a_problem_is_asked_as_given() -> None:
    toy = ToyProblem(2)
    session = Session(toy, 9)
    session.ask_many(several(toy))
    assert toy.evaluated == several(toy)
    assert session.ask_many([]) == []


def test_only_what_is_new_is_asked_for_and_counts() -> None:
    toy = Expecting(2)
    session = Session(toy, 5)
    known = session.ask_indices([1, 1])
    answers = session.ask_many(several(toy))
    assert answers[1] is known
    assert len(toy.expected) == 3
    assert (session.remaining, session.episodes) == (1, 4)
    assert session.ask_many(several(toy)) == answers
    assert (session.remaining, session.episodes) == (1, 4)  # it asked for nothing


def test_what_is_asked_twice_at_once_is_one_evaluation() -> None:
    toy = ToyProblem(2)
    session = Session(toy, 5)
    one, other = several(toy)[:2]
    first, again, _ = session.ask_many([one, one, other])
    assert first is again
    assert session.remaining == 3


def test_the_last_evaluations_may_be_asked_for_in_another_form() -> None:
    toy = ToyProblem(2)
    reversed_layers = [QuantizationConfig(c.choices[::-1]) for c in several(toy)[:2]]
    session = Session(toy, 2)
    answers = session.ask_many(reversed_layers)
    assert [answer.config for answer in answers] == several(toy)[:2]
    assert session.remaining == 0


def test_when_the_evaluations_do_not_suffice_the_first_in_order_are_asked() -> None:
    toy = Expecting(2)
    session = Session(toy, 2)
    with pytest.raises(SearchEnded) as ended:
        session.ask_many(several(toy))
    assert ended.value.reason == "evaluations"
    assert [e.config for e in session.history] == several(toy)[:1:-1]


def test_a_live_problem_is_asked_in_the_order_that_shares_most() -> None:
    live = problem()
    session = Session(live, 9)
    widths = [(2, 2, 2), (3, 3, 3), (2, 2, 4), (2, 3, 2)]
    configs = [bits(*w, points="clipped") for w in widths]
    answers = session.ask_many(configs)
    order = sharing_order([config.choices for config in configs])
    assert [e.config for e in session.history] == [configs[i] for i in order]
    assert [answer.config for answer in answers] == configs
    assert [answer.score for answer in answers] == problem().evaluate_many(configs)
