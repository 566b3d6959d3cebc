"""One search of a table: run in memory, kept in a file, read again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlquant import Score, TabularProblem
from rlquant.documents import Count, read_as
from rlquant.errors import FileFormatError
from rlquant.files import reading, write_file
from rlquant_agents.search.curves import Curve, best_losses
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.run_settings import describe_run, read_settings, require_same
from rlquant_agents.search.session import Callback, SearchEnded, Session
from rlquant_experiments.comparison.variants import Variant


@dataclass(frozen=True, eq=False)
class TableRun:
    """A finished search of a table.

    Attributes:
        searcher: the label of what searched.
        seed: its seed.
        score: of the best configuration.
        curve: best loss after each evaluation; NaN before the first within the budget.
        episodes: configurations asked for, known ones included.
        seconds: what it took.
        stopped: why it ended.
        notes: what it wants the reader to know.
    """

    searcher: str
    seed: int
    score: Score
    curve: Curve
    episodes: int
    seconds: float
    stopped: str
    notes: tuple[str, ...] = ()

    def loss_at(self, evaluations: int) -> float:
        """Return the best loss after so many evaluations; the last where the run ended before."""
        return float(self.curve[min(evaluations, len(self.curve)) - 1])


TableRuns = Mapping[str, Sequence[TableRun]]
"""The runs of each searcher under one budget, by its name."""


class _EndAtOptimum(Callback):
    """Ends a search that cannot get any better: an agent that converged there would go on long."""

    def __init__(self, loss: float, callback: Callback) -> None:
        self._loss = loss
        self._callback = callback

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Pass on, and end at the optimum."""
        self._callback.on_evaluation(session, evaluation)
        if evaluation.candidate and evaluation.score.loss <= self._loss:
            raise SearchEnded("optimum")


@dataclass(frozen=True, eq=False)
class TableJob:
    """A run to do, and the file that keeps it.

    Attributes:
        problem: what is searched.
        variant: what searches.
        seed: of the search.
        evaluations: how many it may use.
        path: the file.
    """

    problem: TabularProblem
    variant: Variant
    seed: int
    evaluations: int
    path: Path

    def run(self, callback: Callback | None = None) -> TableRun | None:
        """Search until the optimum is found, keep the run and return it; None when interrupted."""
        start = time.perf_counter()
        searcher = self.variant.make()
        watch = _EndAtOptimum(self.problem.optimum()[1].loss, callback or Callback())
        result = searcher.search(self.problem, self.evaluations, self.seed, watch)
        if result.stopped == "interrupted":
            return None
        found = TableRun(
            searcher=self.variant.label,
            seed=self.seed,
            score=result.score,
            curve=best_losses(result.history),
            episodes=result.episodes,
            seconds=time.perf_counter() - start,
            stopped=result.stopped,
            notes=result.notes,
        )
        document = {"settings": self._settings(), "run": _as_document(found)}
        write_file(self.path, json.dumps(document) + "\n")
        return found

    def read(self) -> TableRun | None:
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
                raise FileFormatError(f"no run of a table ({error}); move it away") from error
        require_same(self._settings(), kept.settings, self.path)
        if kept.settings.get("evaluations") != self.evaluations:
            return None
        return kept.run.found()

    def _settings(self) -> dict[str, Any]:
        return describe_run(self.problem, self.variant.make(), self.evaluations, self.seed)


def _as_document(run: TableRun) -> dict[str, Any]:
    return {
        "searcher": run.searcher,
        "seed": run.seed,
        "score": json.loads(run.score.to_json()),
        "curve": [loss if math.isfinite(loss) else str(loss) for loss in run.curve.tolist()],
        "episodes": run.episodes,
        "seconds": run.seconds,
        "stopped": run.stopped,
        "notes": list(run.notes),
    }


@dataclass(frozen=True, slots=True)
class _KeptRun:
    """A run as it stands in its file: losses that are not finite are texts."""

    searcher: str
    seed: int
    score: Score
    curve: tuple[float | Literal["nan", "inf"], ...]
    episodes: Count
    seconds: float
    stopped: str
    notes: tuple[str, ...]

    def found(self) -> TableRun:
        """Return the run."""
        fields = {name: getattr(self, name) for name in _KeptRun.__dataclass_fields__}
        return TableRun(**fields | {"curve": np.array([float(loss) for loss in self.curve])})


@dataclass(frozen=True, slots=True)
class _Kept:
    """The file of a run."""

    settings: dict[str, Any]
    run: _KeptRun
