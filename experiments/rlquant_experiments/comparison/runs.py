"""Runs of a comparison: one search of a problem each, kept in a file the moment it ends."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from rlquant import Problem, QuantizationConfig, Score
from rlquant.documents import Count, read_as
from rlquant.errors import FileFormatError, WorkerError
from rlquant.executors.calls import Calls
from rlquant.executors.local import LocalExecutor
from rlquant.files import reading, write_file
from rlquant.problem.protocol import Stores
from rlquant.score import Measurement
from rlquant_agents.search.curves import Curve, best_losses
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.run_settings import describe_run, read_settings, require_same
from rlquant_agents.search.session import Callback, SearchEnded, Session
from rlquant_experiments.comparison.comparison_progress import RunsBar
from rlquant_experiments.comparison.held_out import HeldOut
from rlquant_experiments.comparison.variants import Variant


@dataclass(frozen=True, eq=False)
class Run:
    """A finished search.

    Attributes:
        searcher: the label of the searcher.
        seed: its seed.
        config: the best configuration.
        score: its score.
        front: scores of the non-dominated configurations that it asked for.
        curve: best loss after each evaluation; NaN before the first within the budget.
        episodes: configurations asked for, known ones included.
        seconds: what it took; of a kept run without the evaluations that were computed.
        stopped: why it ended.
        notes: what the reader should know.
        test: the best configuration's network on data that no search saw, where there is one.
        held_out: the same, image by image.
        evaluator_seconds: how many of the seconds are the evaluator's.
    """

    searcher: str
    seed: int
    config: QuantizationConfig
    score: Score
    front: tuple[Score, ...]
    curve: Curve
    episodes: int
    seconds: float
    stopped: str
    notes: tuple[str, ...] = ()
    test: Measurement | None = None
    held_out: HeldOut | None = None
    evaluator_seconds: float = 0.0

    def loss_at(self, evaluations: int) -> float:
        """Return the best loss after so many evaluations; the last where the run ended before."""
        return float(self.curve[min(evaluations, len(self.curve)) - 1])


Runs = Mapping[str, Sequence[Run]]
"""The runs of each searcher under one budget, by its label."""


@dataclass(frozen=True, eq=False)
class Job:
    """A run to do, and the file that keeps it.

    Attributes:
        problem: what is searched.
        variant: what searches.
        seed: of the search.
        evaluations: how many it may use.
        path: the file.
        optimum: the loss at which the search ends, where it is known: an agent that converged
            there would go on long.
    """

    problem: Problem
    variant: Variant
    seed: int
    evaluations: int
    path: Path
    optimum: float = -math.inf

    def run(self, callback: Callback | None = None) -> Run:
        """Search, keep the run and return it; `KeyboardInterrupt` when interrupted."""
        start, computing = time.perf_counter(), self._computing
        watch = _EndAtOptimum(self.optimum, callback or Callback())
        result = self.variant.make().search(self.problem, self.evaluations, self.seed, watch)
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        elapsed = time.perf_counter() - start
        found = Run(
            searcher=self.variant.label,
            seed=self.seed,
            config=result.best,
            score=result.score,
            front=tuple(score for _, score in result.pareto),
            curve=best_losses(result.history),
            episodes=result.episodes,
            seconds=max(0.0, elapsed - (self._computing - computing)),
            stopped=result.stopped,
            notes=result.notes,
        )
        document = {"settings": self._settings(), "run": asdict(_KeptRun.of(found))}
        write_file(self.path, json.dumps(document) + "\n")
        return found

    def read(self) -> Run | None:
        """Return the run as it was kept; None where it is to do, or had other evaluations.

        Raises:
            SettingsError: the file keeps another run.
            FileFormatError: the file is damaged.
        """
        document = read_settings(self.path)
        if document is None:
            return None
        with reading(self.path):
            try:
                kept = read_as(_Kept, document)
            except FileFormatError as error:
                raise FileFormatError(f"no run of a comparison ({error}); move it away") from error
        require_same(self._settings(), kept.settings, self.path)
        if kept.settings.get("evaluations") != self.evaluations:
            return None
        return kept.run.run()

    @property
    def _computing(self) -> float:
        """Seconds that evaluations took so far, as far as a store knows them."""
        store = self.problem.store if isinstance(self.problem, Stores) else None
        return 0.0 if store is None else store.seconds

    def _settings(self) -> dict[str, Any]:
        return describe_run(self.problem, self.variant.make(), self.evaluations, self.seed)


class _EndAtOptimum(Callback):
    """Ends a search that cannot get any better."""

    def __init__(self, loss: float, callback: Callback) -> None:
        self._loss = loss
        self._callback = callback

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Pass on, and end at the optimum."""
        self._callback.on_evaluation(session, evaluation)
        if evaluation.candidate and evaluation.score.loss <= self._loss:
            raise SearchEnded("optimum")


@dataclass(frozen=True, slots=True)
class _KeptRun:
    """A run in its file: losses that are not finite are texts."""

    searcher: str
    seed: int
    config: str
    score: Score
    front: tuple[Score, ...]
    curve: tuple[float | Literal["nan", "inf"], ...]
    episodes: Count
    seconds: float
    stopped: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, run: Run) -> _KeptRun:
        """Return what is kept of a run."""
        same = {name: getattr(run, name) for name in _SAME}
        curve: Any = tuple(x if math.isfinite(x) else str(x) for x in run.curve.tolist())
        return cls(**same, config=run.config.to_json(), curve=curve)

    def run(self) -> Run:
        """Return the run."""
        same = {name: getattr(self, name) for name in _SAME}
        curve = np.array([float(loss) for loss in self.curve])
        return Run(**same, config=QuantizationConfig.from_json(self.config), curve=curve)


_SAME = tuple(name for name in _KeptRun.__dataclass_fields__ if name not in ("config", "curve"))


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file of a run."""

    settings: dict[str, Any]
    run: _KeptRun


def run_jobs(jobs: Sequence[Job], workers: int = 1) -> list[Run] | None:
    """Return every run, those that were kept and those that are made; None when interrupted.

    Runs do not depend on each other, so they are the same in however many processes they are made.

    Args:
        jobs: the runs.
        workers: processes that make them; with 1 it is this one.

    Raises:
        WorkerError: a run ended the process that made it, three times.
        RlquantError: a kept run that cannot be read, or what a search raised.
    """
    runs = {place: run for place, job in enumerate(jobs) if (run := job.read()) is not None}
    waiting = [place for place in range(len(jobs)) if place not in runs]
    if waiting:
        todo = [jobs[place] for place in waiting]
        progress = RunsBar(len(todo), todo[0].evaluations)
        with progress.bar, closing(_made(todo, workers, progress)) as made:
            try:
                for number, run in made:
                    runs[waiting[number]] = run
                    progress.end(todo[number].path.stem)
            except KeyboardInterrupt:
                return None
    return [runs[place] for place in range(len(jobs))]


def _made(
    jobs: Sequence[Job], workers: int, progress: RunsBar
) -> Generator[tuple[int, Run], None, None]:
    if workers > 1:
        with LocalExecutor(min(workers, len(jobs))) as executor:
            calls = Calls(executor, _make, jobs, threads=torch.get_num_threads())
            with closing(calls), closing(calls.completed(range(len(jobs)))) as completed:
                for place, run in completed:
                    if isinstance(run, WorkerError):
                        raise run
                    yield place, run
        return
    for place, job in enumerate(jobs):
        progress.begin(job.path.stem)
        yield place, job.run(progress)


def _make(jobs: Sequence[Job], place: int) -> Run:
    return jobs[place].run()
