"""Searches by workers: a function of seed and batch, whoever evaluates, and in which order."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.nn import functional

from problems import problem
from rlquant import Budget, QuantizationConfig, Score, TrainSettings
from rlquant.errors import SettingsError, WorkerError
from rlquant.tabular.tabular_problem import TabularProblem
from rlquant.testing import ToyProblem, random_table
from rlquant_agents import SearchResult, make_searcher, search_problem
from rlquant_agents.search.session import Callback, Session
from rlquant_agents.searchers.random_feasible import RandomFeasible

QUICK = ("random", "uniform", "local-swap", "knapsack", "pairwise", "tpe", "nsga2")
SLOW = ("auto", "dyna-ppo", "masked-ppo")


class Delayed(ToyProblem):
    """A toy problem whose answers take a random time."""

    def evaluate(self, config: QuantizationConfig) -> Score:
        time.sleep(random.random() * 0.004)
        return super().evaluate(config)


def history(result: SearchResult) -> list[tuple[str, float]]:
    return [(evaluation.config.key, evaluation.score.loss) for evaluation in result.history]


def found(searcher: str, executor: Any, batch: int | None, evaluations: int = 24) -> SearchResult:
    return search_problem(
        Delayed(4, 4.0),
        searcher=searcher,
        evaluations=evaluations,
        seed=7,
        executor=executor,
        batch=batch,
    )


@pytest.mark.parametrize("searcher", [*QUICK, *SLOW])
def test_a_search_depends_on_seed_and_batch_alone(searcher: str) -> None:
    evaluations = 24 if searcher in QUICK else 14
    here = history(found(searcher, None, 5, evaluations))
    assert len(here) == len(dict(here)) <= evaluations
    for workers in (1, 2, 4) if searcher in QUICK else (2,):
        with ThreadPoolExecutor(workers) as threads:
            assert history(found(searcher, threads, 5, evaluations)) == here


def test_rungs_of_lower_fidelity_are_measured_by_workers_too(tmp_path: Path) -> None:
    def screened(executor: Any) -> SearchResult:
        live = problem("mlp", fidelity="tuned", training=TrainSettings(steps=2))
        search = make_searcher("successive-halving", batch=2)
        return search.search(live, 8, 0, None, executor)

    with ThreadPoolExecutor(2) as threads:
        assert history(screened(threads)) == history(screened(None))


def test_a_pruner_needs_this_process() -> None:
    pruned = make_searcher("tpe", pruner="median")
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(SettingsError, match="use pruner='none', or no executor"),
    ):
        search_problem(ToyProblem(), searcher=pruned, executor=threads)


@pytest.mark.parametrize("searcher", ["local-swap", "knapsack", "pairwise", "tpe", "random"])
def test_all_of_a_batch_is_asked_before_the_first_is_known(searcher: str) -> None:
    class Counted(ThreadPoolExecutor):
        tasks = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            self.tasks += 1
            self.most = max(getattr(self, "most", 0), sum(not f.done() for f in self.running) + 1)
            future = super().submit(fn, *args, **kwargs)
            self.running.append(future)
            return future

    with Counted(1) as threads:
        threads.running = []
        found(searcher, threads, 4)
    assert threads.most >= 4


def test_by_default_a_batch_is_twice_the_workers() -> None:
    searcher = RandomFeasible()
    assert [searcher.batch_for(workers) for workers in (0, 1, 3)] == [1, 2, 6]
    assert RandomFeasible(batch=5).batch_for(3) == 5
    with pytest.raises(SettingsError, match="batch=0, use a whole number of at least 1"):
        RandomFeasible(batch=0)


class Fatal:
    """An objective of which one worker dies once."""

    def __init__(self, folder: Path) -> None:
        self.died, self.here = folder / "died", os.getpid()

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if os.getpid() != self.here and not self.died.exists():
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        right = (outputs.argmax(dim=1) == targets).sum()
        return functional.cross_entropy(outputs, targets, reduction="sum"), right


@contextmanager
def dask_of_threads() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster


def test_a_killed_process_changes_nothing_to_the_last_bit(tmp_path: Path) -> None:
    def searched(executor: str | None) -> SearchResult:
        live = problem("conv", objective=Fatal(tmp_path), store=tmp_path / f"{executor}.sqlite")
        found = search_problem(
            live, searcher="random", evaluations=8, batch=4, seed=1, executor=executor
        )
        assert live.store is not None
        assert live.store.count(live.fingerprint) == 8
        return found

    killed, here = searched("local:1"), searched(None)
    assert (tmp_path / "died").exists()
    assert history(killed) == history(here)
    assert killed.score == here.score


def test_one_process_and_two_and_a_cluster_of_dask_find_the_same() -> None:
    here = history(found("local-swap", None, 4))
    assert history(found("local-swap", "local:1", 4)) == here
    assert history(found("local-swap", "local:2", 4)) == here
    with dask_of_threads() as cluster:
        address = f"dask:{cluster.scheduler_address}"
        assert history(found("local-swap", address, 4)) == here


class Dying(ThreadPoolExecutor):
    """Threads that die of a configuration."""

    def __init__(self, key: str) -> None:
        super().__init__(1)
        self.key = key

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future = super().submit(fn, *args, **kwargs)
        if any(config.key == self.key for config in args[1]):
            from rlquant.executors.local import WorkerDied

            future.exception()
            future._exception = WorkerDied("was killed by SIGKILL")
        return future


def test_what_workers_die_of_counts_as_failed_and_the_search_goes_on() -> None:
    here = found("random", None, 4)
    second = here.history[1]
    with Dying(second.config.key) as executor:
        result = found("random", executor, 4)
    assert [key for key, _ in history(result)] == [key for key, _ in history(here)]
    failed = result.history[1]
    assert failed.score.loss == float("inf")
    assert not failed.final
    assert failed.feasible
    (note,) = result.notes
    assert note.startswith(f"{failed.config.key} could not be evaluated: the worker was killed by")
    assert result.stopped == here.stopped


def test_interrupted_workers_end_at_once_and_the_best_is_there(tmp_path: Path) -> None:
    ended = tmp_path / "ended"

    class Slow(ToyProblem):
        def evaluate(self, config: QuantizationConfig) -> Score:
            if len(self.evaluated) > 5:
                main = threading.main_thread().ident
                threading.Timer(0.1, signal.pthread_kill, [main, signal.SIGINT]).start()
                for _ in range(1000):  # a minute at least, unless nobody waits for it
                    if ended.exists():
                        break
                    time.sleep(0.06)
            return super().evaluate(config)

    start = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        result = search_problem(
            Slow(4, 4.0), searcher="random", evaluations=24, executor=threads, batch=8
        )
        ended.touch()
    assert time.monotonic() - start < 30
    assert result.stopped == "interrupted"
    assert 1 <= len(result.history) <= 6
    assert result.score == min((e.score for e in result.history), key=lambda score: score.loss)


class Own:
    """A searcher that is none of ours."""

    def search(
        self, problem: Any, evaluations: int, seed: int, callback: Callback | None = None
    ) -> SearchResult:
        raise NotImplementedError


@pytest.mark.parametrize("given", [{"executor": "local:2"}, {"batch": 3}])
def test_a_searcher_of_another_kind_has_no_workers(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"goes with a Searcher; 'Own' is none"):
        search_problem(ToyProblem(), searcher=Own(), **given)


def test_a_wrong_executor_is_one_clear_error_before_anything_else() -> None:
    with pytest.raises(SettingsError, match=r"executor='locl:2', use local"):
        search_problem(ToyProblem(), executor="locl:2")


def test_the_folder_remembers_the_batch(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        search_problem(
            ToyProblem(), searcher="random", evaluations=3, out=tmp_path, executor=threads
        )
    with pytest.raises(SettingsError, match="batch was 6 and is None now"):
        search_problem(ToyProblem(), searcher="random", evaluations=3, out=tmp_path)


def test_prefetching_counts_nothing_and_goes_no_further_than_evaluations() -> None:
    problem = ToyProblem(3, 4.0)
    rows = problem.feasible.all_indices()[:6].tolist()
    with ThreadPoolExecutor(2) as threads:
        session = Session(problem, 4, executor=threads)
        session.prefetch(rows)
        assert (session.history, session.episodes) == ([], 0)
        assert [e.number for e in session.ask_rows(rows[:4])] == [1, 2, 3, 4]
        session.close()


def test_a_table_answers_by_itself() -> None:
    table = TabularProblem(random_table(2, 3), Budget.average_bits(40.0))
    with ThreadPoolExecutor(1) as threads:
        threads.shutdown()
        result = make_searcher("random").search(table, 3, 0, None, threads)
    assert len(result.history) == 3


def test_the_error_of_an_evaluation_ends_the_search() -> None:
    def wrong(config: QuantizationConfig) -> float:
        raise ValueError("this one is wrong")

    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="this one is wrong"):
        search_problem(ToyProblem(loss_of=wrong), searcher="random", executor=threads)


def test_workers_that_never_answer_end_the_search() -> None:
    first = found("random", None, 1, 1).history[0].config.key
    with Dying(first) as executor, pytest.raises(WorkerError, match="SIGKILL, 3 times"):
        found("random", executor, 1)
