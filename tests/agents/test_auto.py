"""The searcher that chooses another one."""

from __future__ import annotations

import pytest

from rlquant_agents.auto import Auto
from rlquant_agents.searcher import make_searcher
from rlquant_agents.session import Session
from toy_problem import ToyProblem


@pytest.mark.parametrize(("evaluations", "expected"), [(31, "random"), (30, "dyna-ppo")])
def test_where_everything_can_be_measured_nothing_is_learnt(
    evaluations: int, expected: str
) -> None:
    problem = ToyProblem(3, 4.0)
    assert problem.feasible.count() == 31
    assert Auto().choose(Session(problem, evaluations))[0] == expected


def test_it_asks_what_the_chosen_searcher_asks_and_says_which() -> None:
    problem = ToyProblem(3, 4.0)
    own = make_searcher("auto").search(problem, 20, seed=3)
    other = make_searcher("dyna-ppo").search(problem, 20, seed=3)
    assert [e.config for e in own.history] == [e.config for e in other.history]
    assert own.searcher == "auto"
    assert own.notes[0].startswith("auto searches with dyna-ppo:")
