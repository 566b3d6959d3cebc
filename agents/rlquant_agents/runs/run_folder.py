"""The folder of a run: everything that a search found, written as it happens."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import rlquant
from rlquant import Problem, QuantizationConfig, Reward, Score
from rlquant.counted import counted
from rlquant.errors import NetworkError, SettingsError
from rlquant.files import write_file
from rlquant.paths import PathLike
from rlquant.problem.protocol import Live, Stores
from rlquant_agents.reporting.problem_facts import ProblemFacts
from rlquant_agents.reporting.report import write_run
from rlquant_agents.reporting.run_files import (
    CONFIG,
    EVALUATIONS,
    FACTS,
    FIGURES,
    MODEL,
    RESULT,
    SCORE,
    SETTINGS,
)
from rlquant_agents.runs.evaluation_table import EvaluationTable
from rlquant_agents.search.event_log import WRITER, EventLog
from rlquant_agents.search.event_texts import picture_value
from rlquant_agents.search.result import STOPPED, Evaluation, SearchResult
from rlquant_agents.search.run_settings import Document, read_settings, require_same
from rlquant_agents.search.session import Callback, Session
from rlquant_agents.search.uniform import best_uniform, uniform_notes

logger = logging.getLogger(__name__)


class RunFolder(Callback):
    """Writes a search into a folder: rows and the best so far at once, the rest at the end.

    A folder that holds the same run goes on: the search asks its questions again, the store
    answers what was recorded, and rows that stand here already are left alone.

    Args:
        out: the folder, which is there and held for the whole run.
        problem: what is searched.
        settings: all settings of the search; see `describe_run`.

    Raises:
        SettingsError: the folder holds a run with other decisive settings (which it names), or
            more evaluations than are asked for now.
        FileFormatError: its settings.json or its table is damaged.
        StorageError: the folder cannot be written.
    """

    def __init__(self, out: PathLike, problem: Problem, settings: Document) -> None:
        self.path = Path(out)
        self._problem = problem
        self._settings = settings
        self._table = EvaluationTable(self.path / EVALUATIONS, problem)
        earlier = read_settings(self.path / SETTINGS)
        if earlier is not None:
            require_same(settings, earlier, self.path)
            self._require_as_many(settings["evaluations"])
        self._goes_on = earlier is not None
        self._started = self._seconds = 0.0
        self._store = problem.store if isinstance(problem, Stores) else None
        self._computed_before = 0, 0.0
        self._computed: tuple[int, float] | None = None
        self._reference: tuple[QuantizationConfig, Score] | None = None

    def on_start(self, session: Session) -> None:
        """Write the settings, and the table with the rows of earlier processes."""
        self._started = time.perf_counter()
        if self._store is not None:
            self._computed_before = self._store.computed, self._store.seconds
        self._table.open(keep=self._goes_on)
        self._write_json(SETTINGS, self._settings)

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Add a row unless it stands there; write the best configuration where it is another."""
        best, is_new = session.best, self._table.add(evaluation, session.best)
        # At the last row of before too: the process may have been killed between row and best.
        if best is not None and (best is evaluation if is_new else self._is_last(evaluation)):
            self._write_best(best.config, best.score)

    def _is_last(self, evaluation: Evaluation) -> bool:
        return evaluation.number == self._table.earlier

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Stop the clock and add what rows are missing; `finish` writes the rest."""
        self._seconds = time.perf_counter() - self._started
        for evaluation in session.history[self._table.rows() :]:
            self._table.add(evaluation, session.best)  # Ctrl-C came before its row was written
        if self._store is not None:
            computed, seconds = self._computed_before
            self._computed = self._store.computed - computed, self._store.seconds - seconds

    def measure_uniform(self, reward: str | Reward) -> tuple[str, ...]:
        """Measure what the report compares the result with; return what is to be known of it."""
        evaluations = self._settings["evaluations"]
        self._reference = best_uniform(self._problem, evaluations, reward)
        return uniform_notes(self._problem, evaluations)

    def finish(self, result: SearchResult) -> None:
        """Write the best network, the figures, result.json and the report of all.

        Args:
            result: with its `network`, where the problem could build one.
        """
        if result.stopped == "interrupted" and len(result.history) < self._table.earlier:
            logger.warning(
                "%s: interrupted early, the results of before stay in the folder; what is returned "
                "is the best of the first %d evaluations alone",
                self.path,
                len(result.history),
            )
            return
        self._table.cut(len(result.history))
        self._write_best(result.best, result.score)
        model_bytes = self._save_network(result)
        self._write_json(RESULT, self._describe(result) | {"model_bytes": model_bytes})
        facts = ProblemFacts.of(self._problem, result, self._reference, model_bytes)
        write_file(self.path / FACTS, facts.to_json() + "\n")
        write_run(self.path)
        if result.stopped != "interrupted":
            self._log_figures(len(result.history))

    def _log_figures(self, step: int) -> None:
        """Put the figures into the TensorBoard events too."""
        pictures = {name: self.path / f"{name}.png" for name in FIGURES}
        values = [picture_value(f"figures/{n}", p.read_bytes()) for n, p in pictures.items()]
        EventLog(self.path, WRITER).add_values(step, values)

    def _require_as_many(self, evaluations: int) -> None:
        """Raise where fewer evaluations than stand here would replace what they found."""
        rows = self._table.rows()
        if evaluations < rows:
            raise SettingsError(
                f"{self.path} holds {counted(rows, 'evaluation')}, evaluations={evaluations} "
                f"would throw some "
                f"away; use at least {rows}, or give another folder as out"
            )

    def _describe(self, result: SearchResult) -> Document:
        computed, computing = self._computed or (None, 0.0)
        return {
            "searcher": result.searcher,
            "seed": result.seed,
            "budget": self._settings["budget"],
            "evaluations": len(result.history),
            "episodes": result.episodes,
            "stopped": result.stopped,
            "meaning": STOPPED.get(result.stopped, ""),
            "notes": list(result.notes),
            "seconds": self._table.seconds_before + self._seconds,
            "computed": computed,
            "seconds_beside_evaluations": max(0.0, self._seconds - computing),
            "score": json.loads(result.score.to_json()),
            "float_score": json.loads(self._problem.float_score.to_json()),
            "pareto": [
                {"key": config.key, "score": json.loads(score.to_json())}
                for config, score in result.pareto
            ],
        }

    def _save_network(self, result: SearchResult) -> int | None:
        """Write the packed file and return its bytes, None where there is none to write."""
        path = self.path / MODEL
        if result.network is None:
            return None
        try:
            written = rlquant.save(result.network, path)
        except NetworkError as error:
            logger.error("%s cannot be written: %s", path, error)
            return None
        promised = result.score.size_bytes
        counted = not isinstance(self._problem, Live) or self._problem.costs.size.packed
        if counted and written != promised:
            logger.error("%s has %d bytes, not %d as its score says", path, written, promised)
        return written

    def _write_best(self, config: QuantizationConfig, score: Score) -> None:
        write_file(self.path / CONFIG, config.to_json(indent=2) + "\n")
        write_file(self.path / SCORE, score.to_json(indent=2) + "\n")

    def _write_json(self, name: str, document: Document) -> None:
        write_file(self.path / name, json.dumps(document, indent=2) + "\n")
