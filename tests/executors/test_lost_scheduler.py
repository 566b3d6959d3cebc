"""A scheduler of Dask's that is killed: the search waits for it, and then ends with a sentence."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dask_processes import DaskProcesses
from problems import problem
from rlquant.errors import WorkerError
from rlquant.executors import cluster
from rlquant.executors.cluster import ClusterExecutor
from rlquant_agents import SearchResult, search_problem
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Callback, Session


class Killing(Callback):
    """Kills a scheduler and its worker at the fourth evaluation."""

    def __init__(self, processes: DaskProcesses, *, again: bool) -> None:
        self._processes, self._again = processes, again

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Kill them, and start them again a little later where that is wanted."""
        if evaluation.number == 4:
            self._processes.kill()
            if self._again:
                threading.Timer(1.0, self._processes.start).start()


def searched(path: Path, executor: str | None, callback: Callback | None = None) -> SearchResult:
    live = problem("conv", store=path)
    return search_problem(
        live,
        searcher="random",
        evaluations=12,
        batch=4,
        seed=1,
        executor=executor,
        callback=callback,
    )


def history(result: SearchResult) -> list[tuple[str, float]]:
    return [(evaluation.config.key, evaluation.score.loss) for evaluation in result.history]


@pytest.mark.slow
def test_a_search_whose_scheduler_is_killed_ends_in_words_and_goes_on_when_given_again(
    processes: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 20)
    killing = Killing(processes, again=False)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"scheduler .* is lost .* give the same command again"):
        searched(tmp_path / "s.db", f"dask:{processes.address}", killing)
    assert time.monotonic() - start < 120
    kept = problem("conv", store=tmp_path / "s.db")
    assert kept.store is not None
    assert kept.store.count(kept.fingerprint) >= 4
    assert history(searched(tmp_path / "s.db", None)) == history(searched(tmp_path / "t.db", None))


@pytest.mark.slow
def test_a_scheduler_that_is_started_again_is_waited_for(
    processes: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 180)  # starting it takes long where cores are busy
    killing = Killing(processes, again=True)
    found = searched(tmp_path / "s.db", f"dask:{processes.address}", killing)
    assert history(found) == history(searched(tmp_path / "t.db", None))


@pytest.mark.parametrize("error", [OSError("timed out"), RuntimeError("ConnectionPool is closed")])
def test_a_scheduler_that_is_not_heard_of_is_said_to_be_lost(error: Exception) -> None:
    class Deaf:
        def nthreads(self) -> Any:
            raise error

    with pytest.raises(WorkerError, match=rf"scheduler of the cluster is lost \({error}\): start"):
        _ = ClusterExecutor(Deaf()).workers
