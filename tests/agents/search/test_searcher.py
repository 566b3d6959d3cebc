"""The search protocol, its result, and the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlquant_agents
from rlquant import QuantizationConfig, Score, SearchSpace
from rlquant.errors import SettingsError, UnknownNameError
from rlquant.testing import ToyProblem
from rlquant_agents.search import searcher
from rlquant_agents.search.result import STOPPED, Evaluation, SearchResult, pareto_front
from rlquant_agents.search.searcher import (
    Searcher,
    make_searcher,
    register_searcher,
    searcher_class,
    searchers,
)
from rlquant_agents.search.session import Callback, Session


@dataclass(frozen=True, kw_only=True)
class Asks(Searcher):
    """Asks for a list of configurations, and stops or is stopped."""

    name: ClassVar[str] = "asks"

    questions: Sequence[Sequence[int]] = ()
    then: type[BaseException] | None = None

    def explore(self, session: Session, seed: int) -> None:
        for indices in self.questions:
            session.ask_indices(indices)
        session.say("two notes")
        session.say("in order")
        if self.then is not None:
            raise self.then


@dataclass
class Diary(Callback):
    """Writes down what it hears; interrupts at one evaluation."""

    interrupt_at: int = 0
    heard: list[Any] = field(default_factory=list)

    def on_start(self, session: Session) -> None:
        self.heard.append("start")

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        self.heard.append(evaluation.number)
        if evaluation.number == self.interrupt_at:
            raise KeyboardInterrupt

    def on_end(self, session: Session, result: SearchResult) -> None:
        self.heard.append(result.stopped)


# --- the result


def test_the_result_says_what_was_found_and_how() -> None:
    problem = ToyProblem(2, 4.0)
    result = Asks(questions=[[0, 0], [1, 0], [1, 0]]).search(problem, 5, seed=3)
    assert [e.config for e in result.history] == problem.evaluated
    assert result.best == problem.feasible.config([1, 0])
    assert result.score == result.history[1].score
    assert (result.stopped, result.episodes) == ("finished", 3)
    assert (result.searcher, result.seed) == ("asks", 3)
    assert result.notes == ("two notes", "in order")


@pytest.mark.parametrize(
    ("questions", "then", "evaluations", "stopped"),
    [
        ([[0, 0]], None, 5, "finished"),
        ([[0, 0]], KeyboardInterrupt, 5, "interrupted"),
        ([[0, 0], [0, 1]], None, 1, "evaluations"),
        ([[0, 0]] * 50, None, 2, "episodes"),
    ],
)
def test_why_it_stopped(
    questions: list[list[int]], then: Any, evaluations: int, stopped: str
) -> None:
    result = Asks(questions=questions, then=then).search(ToyProblem(2), evaluations, 0)
    assert result.stopped == stopped
    assert stopped in STOPPED


def test_a_space_that_is_used_up_ends_the_search() -> None:
    problem = ToyProblem(1, 40.0, SearchSpace(bits=(2, 3, 4)))
    result = Asks(questions=[[0], [1], [2], [0]]).search(problem, 50, 0)
    assert result.stopped == "exhausted"
    ways = {"exhausted", "finished", "interrupted", "evaluations", "episodes"}
    assert set(STOPPED) == ways | {"optimum"}  # the last where it is known: see table_run.py


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        Asks(then=ZeroDivisionError).search(ToyProblem(1), 5, 0)


@pytest.mark.parametrize("then", [None, KeyboardInterrupt])
@pytest.mark.parametrize("questions", [[], [[3, 3]], [[3, 3], [3, 2]]])
def test_a_search_without_a_feasible_answer_returns_the_cheapest(
    questions: list[list[int]], then: Any
) -> None:
    problem = ToyProblem(2, 4.0)
    result = Asks(questions=questions, then=then).search(problem, 3, 0)
    assert result.best == problem.feasible.config([0, 0])
    assert len(result.history) == len(questions) + 1


def test_one_evaluation_is_enough_for_a_feasible_answer() -> None:
    problem = ToyProblem(2, 4.0)
    result = Asks(questions=[[3, 3]]).search(problem, 1, 0)
    assert problem.feasible.fits(problem.feasible.indices(result.best))
    assert len(problem.evaluated) == 1


@pytest.mark.parametrize("evaluations", [0, -1])
def test_zero_evaluations_are_refused(evaluations: int) -> None:
    with pytest.raises(SettingsError, match="at least 1"):
        Asks().search(ToyProblem(1), evaluations, 0)


# --- callbacks and interruption


def test_the_callback_hears_start_evaluations_and_end() -> None:
    diary = Diary()
    Asks(questions=[[0, 0], [0, 0], [0, 1]]).search(ToyProblem(2), 5, 0, diary)
    assert diary.heard == ["start", 1, 2, "finished"]


def test_an_interruption_in_the_callback_keeps_what_was_measured() -> None:
    diary = Diary(interrupt_at=2)
    result = Asks(questions=[[0, 0], [1, 0], [1, 1]]).search(ToyProblem(2), 5, 0, diary)
    assert diary.heard == ["start", 1, 2, "interrupted"]
    assert len(result.history) == 2
    assert result.best == result.history[1].config


def test_an_interruption_while_measuring_loses_that_one_alone() -> None:
    class Interrupted(ToyProblem):
        def evaluate(self, config: QuantizationConfig) -> Score:
            if len(self.evaluated) == 2:
                raise KeyboardInterrupt
            return super().evaluate(config)

    diary = Diary()
    result = Asks(questions=[[0, 0], [1, 0], [1, 1]]).search(Interrupted(2), 5, 0, diary)
    assert result.stopped == "interrupted"
    assert [e.number for e in result.history] == [1, 2]
    assert diary.heard == ["start", 1, 2, "interrupted"]


# --- the Pareto front


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    """Points are (bits, loss); the front holds each undominated pair once, cheapest first."""
    history = [
        Evaluation(
            number=number,
            config=QuantizationConfig(()),
            score=Score(
                loss=float(loss),
                accuracy=0.0,
                size_bytes=7,
                average_bits=float(bits),
                size_ratio=0.5,
                bops=0,
            ),
            feasible=True,
            value=0.0,
            seconds=0.0,
        )
        for number, (bits, loss) in enumerate(points, 1)
    ]
    undominated = {
        p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)
    }
    front = pareto_front(history, "average_bits")
    assert [(s.average_bits, s.loss) for _, s in front] == sorted(undominated)
    assert [s.loss for _, s in pareto_front(history, "size_bytes")] == [min(p[1] for p in points)]


# --- the registry


def test_every_name_makes_a_searcher_of_that_name() -> None:
    assert {"masked-ppo", "ppo", "tpe", "nsga2"} <= set(searchers())
    assert {"random", "uniform", "knapsack", "local-swap"} <= set(searchers())
    for name in searchers():
        made = make_searcher(name)
        assert isinstance(made, Searcher)
        assert made.name == name
        assert type(made) is searcher_class(name)


def test_settings_replace_defaults() -> None:
    made = make_searcher("random", reward="accuracy")
    assert made == searcher_class("random")(reward="accuracy")
    assert made.search(ToyProblem(1), 2, 0).history[0].value < 0


def test_an_unknown_searcher_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown searcher 'knapsak'; did you mean 'knapsa"):
        make_searcher("knapsak")


def test_an_unknown_setting_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"'random' has no setting 'tempo'; it has \['reward'"):
        make_searcher("random", tempo=1)


def test_a_searcher_of_ones_own_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "_REGISTRY", dict(searcher._REGISTRY))
    register_searcher("mine", "rlquant_agents.searchers.random_feasible:RandomFeasible")
    assert "mine" in searchers()
    assert make_searcher("mine", reward="loss").search(ToyProblem(2), 3, 0).history
    with pytest.raises(
        SettingsError, match=r"'mine' is taken by rlquant_agents\.searchers\.random"
    ):
        register_searcher("mine", "rlquant_agents.searchers.uniform:Uniform")
    with pytest.raises(SettingsError, match="'tpe' is taken"):
        register_searcher("tpe", "rlquant_agents.searchers.uniform:Uniform")


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("", "a:B", "use a word"),
        (None, "a:B", "use a word"),
        ("x", "module.Class", "write it as 'module:Class'"),
        ("x", ":Class", "write it as 'module:Class'"),
        ("x", ToyProblem, "write it as 'module:Class'"),
    ],
)
def test_what_cannot_be_registered_is_said(name: Any, place: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        register_searcher(name, place)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("no_such_module:Class", "no_such_module cannot be imported"),
        ("rlquant_agents.searchers.uniform:Nothing", "is no Searcher class"),
        ("rlquant_agents.search.result:STOPPED", "is no Searcher class"),
        ("rlquant_agents.search.result:SearchResult", "is no Searcher class"),
    ],
)
def test_a_place_without_a_searcher_is_said_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, place: str, words: str
) -> None:
    monkeypatch.setattr(searcher, "_REGISTRY", dict(searcher._REGISTRY))
    register_searcher("mine", place)
    with pytest.raises(SettingsError, match=words):
        make_searcher("mine")


def test_callbacks_are_closed_even_when_an_evaluation_fails() -> None:
    class Watching(Callback):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    def fail(config: QuantizationConfig) -> float:
        raise RuntimeError("out of memory")

    watching = Watching()
    with pytest.raises(RuntimeError, match="out of memory"):
        make_searcher("random").search(ToyProblem(loss_of=fail), 5, 0, watching)
    assert watching.closed == 1


def test_loading_a_searcher_leaves_the_packages_functions_in_place() -> None:
    make_searcher("masked-ppo")
    assert rlquant_agents.searchers is searchers
    assert callable(rlquant_agents.search)
