"""What the simulation is told and the page shows of this machine: measured once, kept in a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from rlquant import (
    Budget,
    EvaluationStore,
    QuantizationConfig,
    QuantizationProblem,
    Score,
    TabularProblem,
    load_table,
    tasks,
)
from rlquant.documents import read_as, read_json
from rlquant.errors import FileFormatError
from rlquant.executors.calls import Calls
from rlquant.executors.local import LocalExecutor
from rlquant.files import reading, write_file
from rlquant.store.tables import evaluations
from rlquant.testing import ToyProblem
from rlquant_agents import make_searcher
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Callback, Session
from rlquant_experiments.benchmarks.evaluation import NO_LIMIT, random_configs, warm_weights
from rlquant_experiments.scaling.settings import ScalingSettings

EMPTY_TASKS = 200
HANDLED, SKIPPED = 120, 20
"""Evaluations of the search whose handling is measured, and how many of them come before that."""
ROUNDS = 7
WARMING = 10
"""So many evaluations for each option come before those that are timed: of two workers either has
then quantized 99 % of all layers at all options."""
BATCHES_EACH = 4
"""A search of evaluations that wait has so many batches."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """CPU seconds in which a searcher proposes a batch."""

    batch: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Timed:
    """Evaluations by so many workers; 0 workers are this process.

    Attributes:
        workers: processes.
        evaluations: how many.
        each: seconds of one, as it was asked to take; 0 for real ones.
        seconds: wall clock of all of them, of every round.
    """

    workers: int
    evaluations: int
    each: float
    seconds: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Evaluations a second, in the median round."""
        return self.evaluations / median(self.seconds)

    def faster_than(self, other: Timed) -> float:
        """Return how many times as fast as another, the median of rounds that ran in turn."""
        pairs = zip(other.seconds, self.seconds, strict=True)
        return median(theirs / mine for theirs, mine in pairs)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of the evaluations of a network."""

    name: str
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Evaluations of a task in this process and by workers of this machine.

    Attributes:
        times: CPU seconds of single ones.
        timed: by so many workers, this process first.
    """

    times: Times
    timed: tuple[Timed, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured here.

    Attributes:
        times: what evaluations take that stores know, of several networks.
        latency: CPU seconds of worker and searching process for a task that does nothing: for so
            long it keeps a worker where cores are free.
        gap: wall-clock seconds between two answers of one worker to such tasks; the median.
        handled: task whose evaluations were handled.
        handling: CPU seconds that such an evaluation by a worker takes the process that searches.
        proposals: of the searcher, by batch.
        waiting: evaluations that sleep, so that no core is wanted.
        real: evaluations of tasks.
        load: processes that ran or wanted to, on average over a minute.
        cores: of the machine.
    """

    times: tuple[Times, ...]
    latency: float
    gap: float
    handled: str
    handling: float
    proposals: tuple[Proposal, ...]
    waiting: tuple[Timed, ...]
    real: tuple[Evaluated, ...]
    load: float
    cores: int

    @property
    def all_times(self) -> tuple[Times, ...]:
        """What evaluations take, of stores and of tasks that were evaluated here."""
        return (*self.times, *(evaluated.times for evaluated in self.real))


def measured(settings: ScalingSettings, path: Path) -> Measured:
    """Return what a file keeps; measure and write it where there is none.

    Raises:
        FileFormatError: the file holds something else.
    """
    if path.exists():
        with reading(path):
            try:
                return read_as(Measured, read_json(path))
            except FileFormatError as error:
                raise FileFormatError(f"no measurements ({error}); move it away") from error
    found = _measure(settings)
    write_file(path, json.dumps(asdict(found), indent=1) + "\n")
    return found


def _measure(settings: ScalingSettings) -> Measured:
    torch.set_num_threads(1)
    latency, gap = _empty_tasks()
    first = settings.tasks[0]
    return Measured(
        times=tuple(_stored(name, path) for name, path in settings.stores),
        latency=latency,
        gap=gap,
        handled=first,
        handling=_handling(first, settings.budget),
        proposals=tuple(_proposal(settings, batch) for batch in settings.batches),
        waiting=tuple(_waiting(workers, settings.sleep) for workers in settings.sleeping),
        real=tuple(_evaluated(task, settings.timed) for task in settings.tasks),
        load=os.getloadavg()[0],
        cores=os.cpu_count() or 1,
    )


def _stored(name: str, path: Path) -> Times:
    """Return what evaluations of the problem took that a store knows most of."""
    with closing(EvaluationStore(path)) as store:
        problems = store.records.summaries()
        problem, count, *_ = max(problems, key=lambda summary: summary[1])
        columns = [column.name for column in evaluations.columns]
        rows = store.records.best(problem, count)
        return Times(name, tuple(row[columns.index("seconds")] for row in rows))


def _problem(task_name: str, budget: Budget, store: Path | None = None) -> QuantizationProblem:
    task = tasks.load(task_name)
    return QuantizationProblem(
        task.network, task.train, task.validation, budget=budget, store=store
    )


def _cpu_seconds(problem: QuantizationProblem, config: QuantizationConfig) -> float:
    start = time.process_time()
    problem.evaluate(config)
    return time.process_time() - start


# --- overheads


def _empty_tasks() -> tuple[float, float]:
    """Return CPU and wall-clock seconds of a task that does nothing, of one worker's."""
    with LocalExecutor(1) as executor, closing(Calls(executor, _spent, None)) as calls:
        clocks = [
            (time.process_time() + theirs, time.perf_counter())
            for _, theirs in calls.completed(range(EMPTY_TASKS))
            if isinstance(theirs, float)
        ]
    gaps = [after[1] - before[1] for before, after in pairwise(clocks)]
    return (clocks[-1][0] - clocks[0][0]) / len(gaps), median(gaps)


class _Clock(Callback):
    """Notes the CPU time of this process at every evaluation."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Note it."""
        self.at.append(time.process_time())


def _handling(task_name: str, budget: float) -> float:
    """Return CPU seconds of this process for an evaluation by a worker, recorded in a store."""
    clock = _Clock()
    with TemporaryDirectory() as folder, LocalExecutor(1) as executor:
        problem = _problem(task_name, Budget.average_bits(budget), Path(folder) / "s.sqlite")
        make_searcher("random", batch=8).search(problem, HANDLED, 0, clock, executor)
    return (clock.at[-1] - clock.at[SKIPPED]) / (len(clock.at) - 1 - SKIPPED)


def _proposal(settings: ScalingSettings, batch: int) -> Proposal:
    """Return the mean over a search on each table of what a batch of proposals takes."""
    spent, rounds = 0.0, 0.0
    for name in settings.tables:
        problem = TabularProblem(load_table(name), Budget.average_bits(settings.budget))
        searcher = make_searcher(settings.searcher, batch=batch)
        start = time.process_time()
        result = searcher.search(problem, settings.evaluations, 0)
        spent += time.process_time() - start
        rounds += len(result.history) / batch
    return Proposal(batch, spent / rounds)


# --- workers of this machine


class Waiting(ToyProblem):
    """A toy problem whose evaluations sleep.

    Args:
        seconds: that each takes.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(8, 4.0)
        self.seconds = seconds

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Sleep, and score."""
        time.sleep(self.seconds)
        return super().evaluate(config)


def _waiting(workers: int, each: float) -> Timed:
    """Time a search by workers that run already."""
    count, batch = 2 * BATCHES_EACH * workers, 2 * workers
    searcher = make_searcher("random", batch=batch)
    with LocalExecutor(workers) as executor:
        searcher.search(Waiting(0.1), batch, 0, None, executor)  # starts the processes
        start = time.perf_counter()
        searcher.search(Waiting(each), count, 0, None, executor)
        return Timed(workers, count, each, (time.perf_counter() - start,))


def _evaluated(task: str, each: int) -> Evaluated:
    """Time evaluations of a task, `each` in a round."""
    problem = _problem(task, NO_LIMIT)
    warm_weights(problem)
    warming = WARMING * len(problem.feasible.options)
    drawn = random_configs(problem, warming + (1 + ROUNDS) * each)
    alone, others = drawn[:each], drawn[each:]  # what was evaluated here is remembered here
    times = Times(task, tuple(_cpu_seconds(problem, config) for config in alone))
    rounds = [others[warming + at * each :][:each] for at in range(ROUNDS)]
    return Evaluated(times, _real(problem, others[:warming], rounds))


def _real(
    problem: QuantizationProblem,
    first: Sequence[QuantizationConfig],
    rounds: Sequence[Sequence[QuantizationConfig]],
) -> tuple[Timed, ...]:
    """Time the same evaluations in this process, by one worker and by two, in turn.

    Args:
        problem: whose weights are quantized in this process.
        first: evaluated before, so that workers have quantized theirs as well.
        rounds: different configurations each, for workers remember those of others.
    """
    taken: dict[int, list[float]] = {0: [], 1: [], 2: []}
    with LocalExecutor(1) as one, LocalExecutor(2) as two:
        executors = {0: None, 1: one, 2: two}
        for executor in (one, two):
            problem.with_store(None).evaluate_many(first, executor=executor)
        for number, asked in enumerate(rounds):
            for turn in range(len(executors)):
                workers = (number + turn) % len(executors)  # each is first as often as others
                again = problem.with_store(None)  # which remembers nothing here
                start = time.perf_counter()
                again.evaluate_many(asked, executor=executors[workers])  # by one thread each
                taken[workers].append(time.perf_counter() - start)
    each = len(rounds[0])
    return tuple(Timed(workers, each, 0.0, tuple(took)) for workers, took in taken.items())


# --- in the workers


def _spent(shared: None, item: int) -> float:
    """Do nothing; return the CPU time of this process so far."""
    return time.process_time()
