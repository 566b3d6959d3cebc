"""The searcher that suits a problem and its evaluations, by what was measured of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlquant_agents.searcher import Searcher, make_searcher
from rlquant_agents.session import Session


@dataclass(frozen=True, kw_only=True)
class Auto(Searcher):
    """Choose by evidence (`docs/results/search.md`) and say what was chosen, and why."""

    name: ClassVar[str] = "auto"

    def explore(self, session: Session, seed: int) -> None:
        """Search as the chosen searcher does."""
        chosen, reason = self.choose(session)
        session.say(f"auto searches with {chosen}: {reason}")
        make_searcher(chosen, reward=self.reward).explore(session, seed)

    def choose(self, session: Session) -> tuple[str, str]:
        """Return the name of a searcher, and why it is chosen."""
        if session.feasible.exact and session.feasible.count() <= session.evaluations:
            return "random", "the evaluations suffice for everything that keeps the budget"
        return (
            "dyna-ppo",
            "on tables nobody was nearer to the optimum, at any number of evaluations",
        )
