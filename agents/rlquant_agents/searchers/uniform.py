"""The same choice for every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.search.uniform import uniform_configs, widest_uniforms

SHARE = 1 / 4
"""Of its evaluations, what a search spends at most on uniform configurations before its own."""


def ask_widest_uniforms(session: Session) -> None:
    """Ask for the widest uniform configurations that fit, so that no result is below them."""
    configs = widest_uniforms(session.feasible)
    session.ask_many(configs[: int(SHARE * session.evaluations)])


@dataclass(frozen=True, kw_only=True)
class Uniform(Searcher):
    """Try every option that all layers can have at once, most expensive first."""

    name: ClassVar[str] = "uniform"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for each uniform configuration that keeps the budget."""
        for config in uniform_configs(session.feasible):
            session.ask(config)
