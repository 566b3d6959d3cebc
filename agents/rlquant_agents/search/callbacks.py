"""Callbacks of a search: progress on the terminal, TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rlquant.escaping import printable
from rlquant.executors.workload import Workload
from rlquant.files import make_folder
from rlquant.paths import PathLike, path_of
from rlquant_agents.search.event_log import WRITER, EventLog
from rlquant_agents.search.event_texts import outcome_values
from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.scalars import scalars_of
from rlquant_agents.search.session import Callback, Session

BAR = "{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}, {rate_fmt}{postfix}"
"""How far, time spent and left, rate; in 80 columns there is room for a bar."""


class Callbacks(Callback):
    """Several callbacks as one, told in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = tuple(callbacks)

    @property
    def event_log(self) -> EventLog | None:
        """The first that one of them has."""
        return next((c.event_log for c in self._callbacks if c.event_log is not None), None)

    def on_start(self, session: Session) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_start(session)

    def on_progress(self, session: Session, stage: str, done: int, total: int) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_progress(session, stage, done, total)

    def on_workload(self, session: Session, workload: Workload) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_workload(session, workload)

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_evaluation(session, evaluation)

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_end(session, result)

    def close(self) -> None:
        """Close all, whatever one of them raises; its error is raised at the end."""
        with ExitStack() as stack:
            for callback in reversed(self._callbacks):
                stack.callback(callback.close)


class ProgressBar(Callback):
    """A bar on standard error with the best loss so far, time spent and left.

    With workers it says how many there are, and how many evaluations wait for one.
    Long stages before and between evaluations have bars of their own, which go when they are done.
    """

    def __init__(self, description: str = "search") -> None:
        self._description = description
        self._bar: Any = None
        self._stages: dict[str, Any] = {}
        self._workers = ""

    def on_start(self, session: Session) -> None:
        """Open the bar."""
        self._bar = self._opened(session.evaluations, "", unit="eval")

    def _opened(self, total: int, stage: str, **settings: Any) -> Any:
        from tqdm import tqdm  # here: importing the agents stays light

        title = printable(f"{self._description}: {stage}" if stage else self._description)
        return tqdm(total=total, desc=title, mininterval=0.5, bar_format=BAR, **settings)

    def on_progress(self, session: Session, stage: str, done: int, total: int) -> None:
        """Move the stage's bar on; its time is not that of evaluations."""
        if stage not in self._stages:
            self._stages[stage] = self._opened(total, stage, unit="step", leave=False)
        bar = self._stages[stage]
        bar.update(done - bar.n)
        if done >= total:
            self._stages.pop(stage).close()
            self._bar.unpause()

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Move the bar on."""
        self._show_state(session)
        self._bar.update(1)

    def on_workload(self, session: Session, workload: Workload) -> None:
        """Show how busy the workers are."""
        self._workers = f"{workload.running}/{workload.workers} workers, {workload.queued} queued"
        self._show_state(session)
        self._bar.update(0)

    def _show_state(self, session: Session) -> None:
        best = session.best
        digits = ".4f" if best is None or best.score.loss >= 1e-3 else ".2e"
        loss = "" if best is None else f"loss {best.score.loss:{digits}}"
        self._bar.set_postfix_str(", ".join(filter(None, (loss, self._workers))), refresh=False)

    def close(self) -> None:
        """Close the bars."""
        while self._stages:
            self._stages.popitem()[1].close()
        if self._bar is not None:
            self._bar.close()


class TensorBoardLog(Callback):
    """Writes `search/...` scalars, the step being the number of evaluations, and at the end more.

    The settings and the best configuration are texts, and the settings with the outcome are what
    TensorBoard's tab HPARAMS compares runs by. The searcher's own figures go into the same file.
    A search that goes on in the folder goes on with its curves: what was written stays.

    Raises:
        StorageError: the events cannot be written.
    """

    def __init__(self, folder: PathLike) -> None:
        self._folder = path_of("folder", folder)
        self._log: EventLog | None = None
        self._workload: Workload | None = None
        self._started = 0.0

    @property
    def event_log(self) -> EventLog | None:
        """The open log, once the search has begun."""
        return self._log

    def on_start(self, session: Session) -> None:
        """Open the event file."""
        self._started = time.perf_counter()
        make_folder(self._folder)
        self._log = EventLog(self._folder, WRITER)

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Write the evaluation and the best so far."""
        assert self._log is not None
        scalars = scalars_of(session, evaluation) | self._speed(evaluation.number)
        if self._log.differs(evaluation.number, "search/loss", evaluation.score.loss):
            self._log.cut(evaluation.number, "search/")
        self._log.add(evaluation.number, scalars)

    def on_workload(self, session: Session, workload: Workload) -> None:
        """Take note of what workers have done."""
        self._workload = workload

    def _speed(self, evaluations: int) -> dict[str, float]:
        """Return the speed so far, and of workers the share of the time that they have worked."""
        if self._workload is None:
            return {}
        seconds = max(time.perf_counter() - self._started, 1e-9)
        return {
            "search/evaluations_per_second": evaluations / seconds,
            "search/worker_utilisation": self._workload.busy_seconds
            / (self._workload.workers * seconds),
        }

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Write what was asked and what was found, but of interrupted searches, which go on."""
        if self._log is not None and result.stopped != "interrupted":
            self._log.add_values(len(result.history), outcome_values(session, result))
