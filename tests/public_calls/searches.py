"""Public calls that search, and that train agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rlquant
import rlquant_agents
from public_calls import given
from rlquant_agents.policies.agent_training import train_agent
from rlquant_agents.policies.saved_agent import from_agent
from rlquant_agents.search.searcher import searchers
from rlquant_agents.searchers.ppo.searcher import MaskedPPO


def search_with(searcher: str, **settings: Any) -> Callable[[Path], Any]:
    """Return the call of a search on the live network, without a folder."""

    def call(folder: Path) -> Any:
        toys = given.prepare()
        result = rlquant_agents.search(
            toys.network,
            toys.train,
            toys.validation,
            budget=given.BUDGET,
            space=rlquant.SearchSpace(bits=(2, 4, 8), points=("clipped",)),
            searcher=rlquant_agents.make_searcher(searcher, **settings),
            evaluations=8,
            evaluation=rlquant.EvaluationSettings(calibration_samples=64),
        )
        return result.best, result.score, [e.score for e in result.history], result.network

    return call


def _search_to_folder(folder: Path) -> Any:
    result = rlquant_agents.search_problem(
        given.fresh_problem(), searcher="masked-ppo", evaluations=6, out=folder / "run"
    )
    rlquant_agents.write_report(folder / "run")
    names = {path.name.partition(".")[0] for path in (folder / "run").iterdir()}
    return result.best, result.score, sorted(names)


def _search_table(folder: Path) -> Any:
    problem = rlquant.TabularProblem(given.prepare().table, given.BUDGET)
    result = rlquant_agents.search_problem(problem, searcher="dyna-ppo", evaluations=10)
    return result.best, result.score


def _train_agent(folder: Path) -> Any:
    problem = rlquant.TabularProblem(given.prepare().table, given.BUDGET)
    made = train_agent(
        {"toy": problem},
        [given.BUDGET],
        folder=folder / "agent",
        episodes=12,
        settings=MaskedPPO(hidden=8, episodes=4),
    )
    search = rlquant_agents.search_problem(
        problem, searcher=from_agent(folder / "agent"), evaluations=6
    )
    return made.episodes, made.answers, search.best, search.score


CALLS: Mapping[str, Callable[[Path], Any]] = {
    "search to a folder": _search_to_folder,
    "search a table": _search_table,
    "train_agent": _train_agent,
    **{
        f"search with {name}": search_with(name)
        for name in searchers()
        if name not in ("auto", "successive-halving")  # another's, and one that needs training
    },
}
