"""The searcher that suits a problem and its evaluations, by what was measured of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlquant import Problem
from rlquant_agents.search.searcher import Searcher, make_searcher
from rlquant_agents.search.session import Session
from rlquant_agents.search.token_racing import require_tokenized, token_stages
from rlquant_agents.searchers.uniform import ask_widest_uniforms
from rlquant_agents.surrogate.kernel import MANY_LAYERS


@dataclass(frozen=True, kw_only=True)
class Auto(Searcher):
    """Choose by evidence (`docs/results/search.md`) and say what was chosen, and why.

    Attributes:
        tokens: of stages in which candidates race before the best are evaluated whole, e.g.
            (2048,); see `DynaPPO`. () for no race.
    """

    name: ClassVar[str] = "auto"
    least_batch: ClassVar[int] = 4

    tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tokens", token_stages("searcher 'auto': tokens", self.tokens))

    def check(self, problem: Problem) -> None:
        """Raise `SettingsError` for stages that the problem cannot have."""
        require_tokenized("searcher 'auto': tokens", self.tokens, problem)

    def explore(self, session: Session, seed: int) -> None:
        """Measure everything where the evaluations suffice, else search as `dyna-ppo` does.

        With many layers sensitivities come first, for which the rounds of an agent are no
        replacement, and the widest uniform configurations, so that no result is worse than these.
        """
        feasible = session.feasible
        if feasible.exact and feasible.count() <= session.evaluations:
            session.say("auto measures everything that keeps the budget")
            session.ask_many([feasible.config(row) for row in feasible.all_indices()])
            return
        if len(feasible) > MANY_LAYERS:
            session.say("auto begins with sensitivities and uniform configurations: many layers")
            ask_widest_uniforms(session, session.expected_increases())
            searcher = make_searcher(
                "dyna-ppo", reward=self.reward, sensitivities=True, tokens=self.tokens
            )
            searcher.explore(session, seed)
            return
        session.say("auto searches with dyna-ppo")
        searcher = make_searcher("dyna-ppo", reward=self.reward, tokens=self.tokens)
        searcher.explore(session, seed)
