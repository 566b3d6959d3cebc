"""What a searcher is, and the registry of all of them by name."""

from __future__ import annotations

import dataclasses
import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from rlquant import Problem, Reward
from rlquant.errors import SettingsError, unknown_name
from rlquant_agents.result import SearchResult, pareto_front
from rlquant_agents.session import Callback, SearchEnded, Session


@dataclass(frozen=True, kw_only=True)
class Searcher(ABC):
    """A way to search; a frozen record of settings with one method to write: `explore`."""

    name: ClassVar[str]

    reward: str | Reward = "log_loss"

    @abstractmethod
    def explore(self, session: Session, seed: int) -> None:
        """Ask `session` for configurations until done; `SearchEnded` may come from any question."""

    def search(
        self, problem: Problem, evaluations: int, seed: int, callback: Callback | None = None
    ) -> SearchResult:
        """Search within the budget and return the best found, also when interrupted.

        Args:
            problem: what is searched.
            evaluations: distinct configurations that may be asked for.
            seed: decides everything random in the search.
            callback: told of the start, each new evaluation, and the end.
        """
        session = Session(problem, evaluations, callback, self.reward)
        watcher = callback or Callback()
        try:
            watcher.on_start(session)
            stopped = self._explore_to_the_end(session, seed)
            result = self._result(session, seed, stopped)
            watcher.on_end(session, result)
        finally:
            watcher.close()
        return result

    def _explore_to_the_end(self, session: Session, seed: int) -> str:
        """Explore and return why it ended."""
        try:
            self.explore(session, seed)
        except SearchEnded as end:
            return end.reason
        except KeyboardInterrupt:
            return "interrupted"
        return "finished"

    def _result(self, session: Session, seed: int, stopped: str) -> SearchResult:
        best = session.best or session.ask_cheapest()
        return SearchResult(
            best=best.config,
            score=best.score,
            pareto=pareto_front(session.history, session.budget.quantity),
            history=tuple(session.history),
            stopped=stopped,
            episodes=session.episodes,
            searcher=self.name,
            seed=seed,
            notes=tuple(session.notes),
        )


_REGISTRY: dict[str, str] = {
    "masked-ppo": "rlquant_agents.ppo:MaskedPPO",
    "ppo": "rlquant_agents.ppo:PlainPPO",
    "tpe": "rlquant_agents.optuna_search:TPE",
    "nsga2": "rlquant_agents.optuna_search:NSGA2",
    "random": "rlquant_agents.random_feasible:RandomFeasible",
    "uniform": "rlquant_agents.uniform:Uniform",
    "knapsack": "rlquant_agents.knapsack:Knapsack",
    "local-swap": "rlquant_agents.local_swap:LocalSwap",
}
"""Name -> where its class is; imported on request, since some need large libraries."""


def searchers() -> tuple[str, ...]:
    """Return the names of all searchers."""
    return tuple(_REGISTRY)


def searcher_class(name: str) -> type[Searcher]:
    """Return the class of the searcher of that name; `UnknownNameError` suggests a near one."""
    if name not in _REGISTRY:
        raise unknown_name("searcher", name, _REGISTRY)
    module, _, attribute = _REGISTRY[name].partition(":")
    found: type[Searcher] = getattr(importlib.import_module(module), attribute)
    return found


def make_searcher(name: str, **settings: Any) -> Searcher:
    """Return the searcher of that name, with the given settings instead of its defaults.

    Raises:
        UnknownNameError: no searcher has that name.
        SettingsError: it has no such setting.
    """
    found = searcher_class(name)
    known = [f.name for f in dataclasses.fields(found)]
    for setting in settings:
        if setting not in known:
            raise SettingsError(f"searcher {name!r} has no setting {setting!r}; it has {known}")
    return found(**settings)
