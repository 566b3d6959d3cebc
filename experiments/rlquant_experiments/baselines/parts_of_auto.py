"""Parts of `auto` as searchers of their own: what each of them is worth at scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlquant import Problem
from rlquant.errors import SettingsError
from rlquant.problem.protocol import Tokenized
from rlquant_agents.search.searcher import Searcher, make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack

RACE_SHARE = 1 / 8
"""Of the tokens of whole evaluations, what candidates race on."""


@dataclass(frozen=True, kw_only=True)
class FirstAnswer(Searcher):
    """Solve for the smallest sum of expected increases; it asks only once.

    `auto` without uniform configurations and without rounds: what side information says alone.
    """

    name: ClassVar[str] = "auto-first-answer"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the knapsack's solution.

        Raises:
            SettingsError: gradients do not tell the increases, or not for these evaluations.
        """
        increases = session.expected_increases()
        if increases is None:
            raise SettingsError(
                f"searcher {self.name!r} needs expected increases, which this problem does not "
                f"tell within {session.evaluations} evaluations; give more of them"
            )
        session.ask_indices(solve_knapsack(increases, session.feasible).tolist())


@dataclass(frozen=True, kw_only=True)
class FreshPolicy(Searcher):
    """`dyna-ppo` with a policy that has learned on no other network."""

    name: ClassVar[str] = "dyna-ppo-fresh"
    least_batch: ClassVar[int] = 4

    def explore(self, session: Session, seed: int) -> None:
        """Search as `dyna-ppo` does."""
        make_searcher("dyna-ppo", reward=self.reward, agent="fresh").explore(session, seed)


@dataclass(frozen=True, kw_only=True)
class Racing(Searcher):
    """`auto` whose candidates race on an eighth of the tokens before they are evaluated whole."""

    name: ClassVar[str] = "auto-racing"
    least_batch: ClassVar[int] = 4

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` for a problem that has no tokens."""
        _race_tokens(problem)

    def explore(self, session: Session, seed: int) -> None:
        """Search as `auto` does, with one stage."""
        tokens = (_race_tokens(session.problem),)
        make_searcher("auto", reward=self.reward, tokens=tokens).explore(session, seed)


def _race_tokens(problem: Problem) -> int:
    """Return the tokens of the race: of whole samples, about an eighth of all."""
    if not isinstance(problem, Tokenized):
        raise SettingsError(
            f"searcher {Racing.name!r} races on few tokens, and a {type(problem).__name__} is not "
            f"evaluated on tokens; give a QuantizationProblem, or search with 'auto'"
        )
    few = problem.at_tokens(max(1, int(RACE_SHARE * problem.tokens)))
    assert isinstance(few, Tokenized)
    return few.tokens
