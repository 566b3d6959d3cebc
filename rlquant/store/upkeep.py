"""Whole stores: what is in one, what is best in it, one merged into another, and what goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlquant.config import QuantizationConfig
from rlquant.documents import parse_json, read_as, shown
from rlquant.errors import ConfigFormatError, FileFormatError, SettingsError
from rlquant.store.store import EvaluationStore


@dataclass(frozen=True, slots=True)
class ProblemSummary:
    """What a store has of one problem.

    Attributes:
        problem: its fingerprint.
        evaluations: whole ones.
        loss: the least, inf where there is no finite one.
        seconds: that they took together.
        newest: when the last was recorded, in seconds since 1970.
    """

    problem: str
    evaluations: int
    loss: float
    seconds: float
    newest: float


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One evaluation of a store.

    Attributes:
        config: what was measured.
        loss: inf where it was not finite.
        accuracy: NaN where there is none.
        samples: that it was measured on.
        seconds: that it took.
        recorded_at: in seconds since 1970.
    """

    config: QuantizationConfig
    loss: float
    accuracy: float
    samples: int
    seconds: float
    recorded_at: float


def summaries(store: EvaluationStore) -> list[ProblemSummary]:
    """Return what a store has, a problem each, newest first."""
    return [
        ProblemSummary(problem, count, math.inf if loss is None else loss, seconds, newest)
        for problem, count, loss, seconds, newest in store.records.summaries()
    ]


def named_problem(store: EvaluationStore, beginning: str) -> str:
    """Return the fingerprint of a store that begins so.

    Raises:
        SettingsError: none does, or several do.
    """
    known = [summary.problem for summary in summaries(store)]
    found = [problem for problem in known if problem.startswith(beginning)]
    if len(found) != 1:
        which = f"{len(found)} problems begin" if found else "no problem begins"
        raise SettingsError(
            f"{store.name}: {which} with {beginning!r}; name one as `rlquant store list` shows it"
        )
    return found[0]


def best_evaluations(store: EvaluationStore, problem: str, most: int) -> list[StoredEvaluation]:
    """Return the evaluations of a problem with the least losses.

    Raises:
        FileFormatError: one is damaged.
    """
    from rlquant.store.tables import evaluations  # loads SQLAlchemy

    names = [column.name for column in evaluations.columns]
    rows = store.records.best(problem, most)
    return [_evaluation(store, dict(zip(names, row, strict=True))) for row in rows]


def _evaluation(store: EvaluationStore, row: dict[str, Any]) -> StoredEvaluation:
    """Return a row as an evaluation, with everything in it checked."""
    try:
        config = QuantizationConfig.from_json(row["config"])
        same = config.key == row["config_key"] and isinstance(row["problem"], str)
        read_as(dict[str, float], parse_json(row["metrics"]))
    except (ConfigFormatError, FileFormatError, TypeError, AttributeError):
        same = False
    numbers = [0.0 if row[name] is None else row[name] for name in ("loss", "accuracy")]
    numbers += [row["seconds"], row["recorded_at"]]
    right = all(type(number) is float and math.isfinite(number) for number in numbers)
    if not (same and right and type(row["samples"]) is int and row["samples"] > 0):
        raise store.damaged(f"it has an evaluation {shown(row)}")
    return StoredEvaluation(
        config,
        math.inf if row["loss"] is None else row["loss"],
        math.nan if row["accuracy"] is None else row["accuracy"],
        row["samples"],
        row["seconds"],
        row["recorded_at"],
    )


def merge(source: EvaluationStore, target: EvaluationStore) -> int:
    """Record in `target` what `source` has and it has not; return how many evaluations that were.

    What both have stays as it is in `target`, but that more looks take the place of fewer. Whoever
    is interrupted may begin again.

    Raises:
        FileFormatError: something in `source` is damaged; what came before it is recorded.
    """
    from rlquant.store.tables import evaluations, increases, looks  # loads SQLAlchemy

    for table in (looks, increases):
        for page in source.records.pages(table):
            for row in page:
                _require_numbers(source, table.name, row)
            target.records.put({table.name: page})
    added = 0
    for page in source.records.pages(evaluations):
        for row in page:
            _evaluation(source, dict(row))
        new = target.records.unknown(evaluations, page)
        target.records.put({evaluations.name: new})
        added += len(new)
    return added


def _require_numbers(store: EvaluationStore, table: str, row: Any) -> None:
    numbers = row["numbers"]
    keys = [value for name, value in row.items() if name != "numbers"]
    whole = isinstance(numbers, bytes) and len(numbers) % 8 == 0
    if not whole or not all(isinstance(key, str) for key in keys):
        raise store.damaged(f"{table} has a row {shown(row)}")


def prune(store: EvaluationStore, problems: Sequence[str] = (), before: float | None = None) -> int:
    """Remove evaluations, and give their room back; return how many whole ones went.

    Args:
        store: whose.
        problems: fingerprints; everything of these goes, or of all problems where none is given.
        before: only evaluations that were recorded before, in seconds since 1970, with their looks.
    """
    count = store.count()
    store.records.remove(problems, before)
    store.records.database.shrink()
    return count - store.count()
