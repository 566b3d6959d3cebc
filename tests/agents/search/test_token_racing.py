"""Races on few tokens: what they cost, what is left, and that looks are never evaluations."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest

from problems import problem
from rlquant import Budget, QuantizationProblem, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_agents.search.session import Session
from rlquant_agents.search.token_racing import survivors
from rlquant_agents.searchers.auto import Auto
from small_networks import trained

SPACE = SearchSpace(bits=(1, 2, 3, 4, 6, 8), points=("symmetric",))


@functools.cache
def raced() -> QuantizationProblem:
    """Return a problem of 50 samples, which count as a token each."""
    return problem("mlp", trained("mlp"), space=SPACE, budget=Budget.average_bits(5.0))


def rows_of(made: QuantizationProblem, count: int) -> np.ndarray[Any, Any]:
    generator, found = np.random.default_rng(0), dict[tuple[int, ...], None]()
    while len(found) < count:
        found[tuple(made.feasible.sample(generator).tolist())] = None
    return np.array(list(found))


def test_the_best_on_few_tokens_are_left_best_first() -> None:
    made = raced()
    rows = rows_of(made, 12)
    scores = [made.at_tokens(10).evaluate(made.feasible.config(row)) for row in rows]
    order = np.argsort([score.loss for score in scores], kind="stable")
    left = survivors(Session(made, 20), rows, (10,), (12, 3))
    assert left.tolist() == rows[order[:3]].tolist()


def test_a_second_stage_decides_among_the_survivors_of_the_first() -> None:
    made, session = raced(), Session(raced(), 20)
    rows = rows_of(made, 12)
    first = survivors(Session(made, 20), rows, (10,), (12, 6))
    left = survivors(session, rows, (10, 25), (12, 6, 2))
    on_more = [made.at_tokens(25).evaluate(made.feasible.config(row)).loss for row in first]
    assert left.tolist() == first[np.argsort(on_more, kind="stable")[:2]].tolist()
    assert session.remaining == 20 - math.ceil((12 * 10 + 6 * 25) / 50)
    assert session.looks.notes == (
        "configurations raced on few of 50 tokens: 12 on 10, 6 on 25; that took as long as 6 "
        "evaluations, which count as asked for",
    )


def test_looks_count_by_their_tokens_once_and_are_no_evaluations() -> None:
    made = raced()
    session, rows = Session(made, 20), rows_of(made, 8)
    assert survivors(session, rows, (10,), (8, 2)).shape == (2, 3)
    assert (session.looks.spent, session.remaining) == (2, 18)  # 8 x 10 of 50 tokens, rounded up
    survivors(session, rows, (10,), (8, 3))
    assert session.remaining == 18
    assert session.history == []
    assert session.best is None
    evaluation = session.ask_indices(rows[0].tolist())
    assert evaluation.score == raced().evaluate(evaluation.config)
    assert session.remaining == 17


def test_a_race_that_leaves_no_evaluation_is_not_run() -> None:
    made = raced()
    session, rows = Session(made, 2), rows_of(made, 8)
    assert survivors(session, rows, (10,), (8, 2)).tolist() == rows[:2].tolist()
    assert session.remaining == 2


def test_a_search_with_races_spends_no_more_and_repeats() -> None:
    found = [
        search_problem(raced(), searcher=Auto(tokens=(10,)), evaluations=20, seed=3)
        for _ in range(2)
    ]
    one, other = found
    assert [e.config for e in one.history] == [e.config for e in other.history]
    assert all(e.final and e.score.samples == 50 for e in one.history)
    (note,) = (note for note in one.notes if "raced" in note)
    spent = int(note.split("as long as ")[1].split()[0])
    assert spent > 0
    assert len(one.history) + spent <= 20
    assert one.score == raced().evaluate(one.best)


def test_without_stages_nothing_is_looked_at() -> None:
    result = search_problem(raced(), searcher="auto", evaluations=6, seed=3)
    assert not any("raced" in note for note in result.notes)
    assert len(result.history) == 6


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (10, "tokens=10, use whole numbers such as"),
        ("10", "tokens='10', use whole numbers such as"),
        ((0,), "tokens=0, use a whole number of at least 1"),
        ((10, 10), "use numbers that grow"),
        ((20, 10), "use numbers that grow"),
    ],
)
@pytest.mark.parametrize("searcher", ["auto", "dyna-ppo"])
def test_what_are_no_stages_is_refused(searcher: str, tokens: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        search_problem(raced(), searcher=searcher, settings={"tokens": tokens}, evaluations=5)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: ToyProblem(3), "a ToyProblem is not evaluated on tokens"),
        (raced, "an evaluation has 50 tokens, and stages have to have fewer"),
        (lambda: problem(fidelity="tuned", validation_samples=60), "cost nothing beside"),
    ],
)
def test_stages_that_a_problem_cannot_have_are_refused(made: Any, words: str) -> None:
    tokens = (40,) if words.startswith("cost") else (10, 50)
    with pytest.raises(SettingsError, match=words):
        search_problem(made(), searcher=Auto(tokens=tokens), evaluations=5)


def test_what_a_searcher_runs_by_itself_counts_but_for_the_last_evaluation() -> None:
    session = Session(raced(), 6)
    session.charge(2.1, "noise in 3 layers")
    assert session.remaining == 3
    session.charge(9.0, "more of it")
    assert session.remaining == 1
    assert session.notes[0] == (
        "noise in 3 layers: that took as long as 3 evaluations, which count as asked for"
    )
