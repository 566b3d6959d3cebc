"""The base class of searchers, and the registry of all of them by name."""

from __future__ import annotations

import dataclasses
import importlib
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from rlquant import Problem, Reward
from rlquant.ambient import callers_generators, isolated
from rlquant.arguments import explained
from rlquant.errors import SettingsError, unknown_name, whole_number
from rlquant.executors.opening import transport_of
from rlquant.plugins import SEARCHERS, plugins
from rlquant.score import resolve_reward
from rlquant_agents.search.checks import require_settings, whole_seed
from rlquant_agents.search.closing import closed_after
from rlquant_agents.search.result import SearchResult, pareto_front, require_finite_loss
from rlquant_agents.search.session import Callback, SearchEnded, Session

UNRECORDED: Mapping[str, Any] = {"recorded": False}
"""Metadata of a searcher's field that decides nothing of what is found, such as where to report."""


class Searches(Protocol):
    """The least that can search: any object with this method is a searcher to `search`."""

    def search(
        self, problem: Problem, evaluations: int, seed: int, callback: Callback | None = None
    ) -> SearchResult:
        """Search within the budget and return the best found; see `Searcher.search`."""


@dataclass(frozen=True, kw_only=True)
class Searcher(ABC):
    """A way to search; a frozen record of settings with one method to write: `explore`.

    A class of one's own has a `name`; it is given as an object, or under a name that
    `register_searcher` made known.

    Attributes:
        reward: what makes a configuration better.
        batch: configurations that are asked for together, before the answer to any of them is
            known: what several workers evaluate at the same time. None for 1 where there is no
            executor, and for twice as many as there are workers where there is one.

    Raises:
        SettingsError: a setting out of range, or a class without a name.
        UnknownNameError: no reward has that name.
    """

    name: ClassVar[str]

    least_batch: ClassVar[int] = 1
    """Of `batch` where that is not given."""

    reward: str | Reward = "log_loss"
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.batch is not None:
            whole_number(f"searcher {type(self).__name__}: batch", self.batch, 1)
        if not isinstance(getattr(self, "name", None), str):
            raise SettingsError(
                f"searcher {type(self).__name__} has no name; write `name: ClassVar[str] = ...` in "
                f"the class"
            )
        resolve_reward(self.reward)  # a wrong one shows before anything is measured

    @abstractmethod
    def explore(self, session: Session, seed: int) -> None:
        """Ask `session` for configurations until done; `SearchEnded` may come from any question."""

    def check(self, problem: Problem) -> None:  # noqa: B027 - most searchers search everything
        """Raise where this searcher cannot search `problem`; called before anything is written."""

    def batch_for(self, workers: int) -> int:
        """Return `batch`, by default what suits so many workers; 0 where there is no executor."""
        return self.batch or max(self.least_batch, 2 * workers)

    @isolated(seed=0)
    def search(
        self,
        problem: Problem,
        evaluations: int,
        seed: int,
        callback: Callback | None = None,
        executor: Executor | None = None,
    ) -> SearchResult:
        """Search within the budget and return the best found, also when interrupted.

        What is found depends on problem, settings and seed, also by workers: not on their number,
        where `batch` is given, nor on which is first.

        Args:
            problem: what is searched.
            evaluations: distinct configurations that may be asked for.
            seed: decides everything random in the search; 0..2**32-1.
            callback: told of the start, each new evaluation, and the end.
            executor: whose workers evaluate; None for this process.

        Raises:
            SettingsError: an argument of the wrong type or out of range.
            NetworkError: no configuration that was measured has a finite loss.
        """
        seed = whole_seed(seed)
        batch = self.batch_for(0 if executor is None else transport_of(executor).workers)
        session = Session(problem, evaluations, callback, self.reward, executor, batch)
        self.check(problem)
        watcher = session.callback or Callback()
        with closed_after(watcher.close), closed_after(session.close):
            with callers_generators():
                watcher.on_start(session)
            stopped = self._explore_to_the_end(session, seed)
            session.end_workers()
            result = self._result(session, seed, stopped)
            require_finite_loss(result, problem)
            with callers_generators():
                watcher.on_end(session, result)
        return result

    def require_whole(self, least: int, *settings: str) -> None:
        """Raise `SettingsError` unless these settings are whole numbers of at least `least`."""
        for setting in settings:
            whole_number(f"searcher {self.name!r}: {setting}", getattr(self, setting), least)

    def require_one_of(self, setting: str, known: Sequence[str]) -> None:
        """Raise `SettingsError` unless this setting is one of the known words."""
        if getattr(self, setting) not in known:
            raise SettingsError(
                f"searcher {self.name!r}: {setting}={getattr(self, setting)!r}, use one of "
                f"{tuple(known)}"
            )

    def require_number(
        self,
        *settings: str,
        above: float | None = None,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        """Raise `SettingsError` unless these settings are finite numbers within the limits."""
        limits = {"above": above, "at least": least, "at most": most}
        for setting in settings:
            value = getattr(self, setting)
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not (
                number
                and abs(value) < float("inf")
                and (above is None or value > above)
                and (least is None or value >= least)
                and (most is None or value <= most)
            ):
                words = " and ".join(f"{k} {v:g}" for k, v in limits.items() if v is not None)
                raise SettingsError(
                    f"searcher {self.name!r}: {setting}={value!r}, use a finite number {words}"
                )

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
        source = session.source
        notes = [f"the best configuration was proposed by {source}"] if source else []
        return SearchResult(
            best=best.config,
            score=best.score,
            pareto=pareto_front(session.history, session.budget.quantity),
            history=tuple(session.history),
            stopped=stopped,
            episodes=session.episodes,
            searcher=self.name,
            seed=seed,
            notes=(*session.notes, *session.looks.notes, *notes),
            source=source,
        )


_REGISTRY: dict[str, str | type[Searcher]] = {
    "auto": "rlquant_agents.searchers.auto:Auto",
    "dyna-ppo": "rlquant_agents.searchers.dyna_ppo.searcher:DynaPPO",
    "masked-ppo": "rlquant_agents.searchers.ppo.searcher:MaskedPPO",
    "ppo": "rlquant_agents.searchers.ppo.searcher:PlainPPO",
    "tpe": "rlquant_agents.searchers.optuna.search:TPE",
    "nsga2": "rlquant_agents.searchers.optuna.search:NSGA2",
    "random": "rlquant_agents.searchers.random_feasible:RandomFeasible",
    "uniform": "rlquant_agents.searchers.uniform:Uniform",
    "knapsack": "rlquant_agents.searchers.knapsack:Knapsack",
    "local-swap": "rlquant_agents.searchers.local_swap:LocalSwap",
    "pairwise": "rlquant_agents.searchers.pairwise:Pairwise",
    "successive-halving": "rlquant_agents.searchers.successive_halving:SuccessiveHalving",
}
"""Name -> its class, or where that is: imported on request, since some need large libraries."""


def searchers() -> tuple[str, ...]:
    """Return the names of all searchers.

    Examples:
        >>> from rlquant_agents import searchers
        >>> "dyna-ppo" in searchers()
        True
    """
    return tuple(_places())


def _places() -> dict[str, str | type[Searcher]]:
    """Return the place of every searcher: ours, and those that packages add by entry points."""
    return {**plugins(SEARCHERS), **_REGISTRY}


@explained
def register_searcher(name: str, place: str | type[Searcher]) -> None:
    """Make a searcher of one's own known by name, in this process.

    Args:
        name: what it is asked for by.
        place: its class, or where that is, "module:Class", which is imported on request. Other
            processes, such as those of a comparison, know what has a place alone.

    Raises:
        SettingsError: the name is taken, or `place` is neither.

    Examples:
        >>> from rlquant_agents import make_searcher, register_searcher
        >>> register_searcher("mine", "rlquant_agents.searchers.random_feasible:RandomFeasible")
        >>> make_searcher("mine").name
        'random'
    """
    if not isinstance(name, str) or not name:
        raise SettingsError(f"register_searcher: name={name!r}, use a word")
    if name in _REGISTRY:
        raise SettingsError(
            f"register_searcher: {name!r} is taken by {_REGISTRY[name]}; use another name"
        )
    is_class = isinstance(place, type) and issubclass(place, Searcher)
    if not is_class and not (isinstance(place, str) and all(place.partition(":"))):
        raise SettingsError(
            f"register_searcher: place={place!r}, give a Searcher class, or write it as "
            f"'module:Class'"
        )
    _REGISTRY[name] = place


def searcher_class(name: str) -> type[Searcher]:
    """Return the class of the searcher of that name.

    Raises:
        UnknownNameError: no searcher has that name; it suggests a near one.
        SettingsError: no searcher stands where its name was registered.
    """
    places = _places()
    if name not in places:
        raise unknown_name("searcher", name, places)
    place = places[name]
    if isinstance(place, type):
        return place
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise SettingsError(f"searcher {name!r}: {module} cannot be imported ({error})") from error
    if not isinstance(found, type) or not issubclass(found, Searcher):
        raise SettingsError(f"searcher {name!r}: {place} is no Searcher class")
    return found


@explained
def make_searcher(name: str, /, **settings: Any) -> Searcher:
    """Return the searcher of that name, with the given settings instead of its defaults.

    Raises:
        UnknownNameError: no searcher has that name.
        SettingsError: it has no such setting, or a value is out of range.

    Examples:
        >>> from rlquant_agents import make_searcher
        >>> make_searcher("local-swap", tries=10).tries
        10
    """
    found = searcher_class(name)
    known = [f.name for f in dataclasses.fields(found)]
    for setting in settings:
        if setting not in known:
            raise SettingsError(f"searcher {name!r} has no setting {setting!r}; it has {known}")
    return found(**settings)


def resolve_searcher(
    searcher: Any, reward: str | Reward | None = None, settings: Any = None
) -> Searches:
    """Return the searcher that `search` is given: by name, as an object, or as a likeness.

    Args:
        searcher: a name out of `searchers()`, a `Searcher`, or what has its method `search`.
        reward: replaces the searcher's own.
        settings: of the searcher, by name; only where `searcher` is a name.

    Raises:
        SettingsError: something else, or settings that an object has of its own.
        UnknownNameError: no searcher or reward has that name.
    """
    chosen = require_settings(settings)
    if isinstance(searcher, str):
        return make_searcher(searcher, **chosen, **({} if reward is None else {"reward": reward}))
    if isinstance(searcher, type) or not callable(getattr(searcher, "search", None)):
        raise SettingsError(
            f"searcher={searcher!r}, use a name out of {list(searchers())}, a Searcher object, or "
            f"an object with search(problem, evaluations, seed, callback)"
        )
    if chosen:
        raise SettingsError(
            f"settings={chosen!r} go with a searcher's name; this searcher "
            f"({name_of(searcher)!r}) has its own"
        )
    if isinstance(searcher, Searcher):
        return searcher if reward is None else dataclasses.replace(searcher, reward=reward)
    if reward is not None:
        raise SettingsError(
            f"reward={reward!r} goes with a Searcher; this searcher ({name_of(searcher)!r}) has "
            f"its own"
        )
    found: Searches = searcher
    return found


def name_of(searcher: Searches) -> str:
    """Return a searcher's name, that of its class where it has none of its own."""
    return str(getattr(searcher, "name", type(searcher).__name__))
