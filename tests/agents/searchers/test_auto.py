"""The searcher that chooses another one."""

from __future__ import annotations

from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher


def test_where_everything_can_be_measured_it_is_once() -> None:
    problem = ToyProblem(3, 4.0)
    assert problem.feasible.count() == 31
    result = make_searcher("auto").search(problem, 31, seed=0)
    assert len(result.history) == result.episodes == 31
    assert result.score.loss == problem.best_loss()
    assert result.notes == ("auto measures everything that keeps the budget",)


def test_it_asks_what_the_chosen_searcher_asks_and_says_which() -> None:
    problem = ToyProblem(3, 4.0)
    own = make_searcher("auto").search(problem, 20, seed=3)
    other = make_searcher("dyna-ppo").search(problem, 20, seed=3)
    assert [e.config for e in own.history] == [e.config for e in other.history]
    assert own.searcher == "auto"
    assert own.notes[0].startswith("auto searches with dyna-ppo")
