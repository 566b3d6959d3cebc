"""The table of a search's evaluations, a CSV that grows row by row and survives a kill."""

from __future__ import annotations

import logging
import math
from itertools import takewhile
from pathlib import Path

from rlquant import Problem
from rlquant.documents import csv_rows, read_text
from rlquant.documents.csv_rows import MOST_BYTES
from rlquant.errors import FileFormatError
from rlquant.escaping import csv_cell, csv_text
from rlquant.files import about, reading, write_file
from rlquant_agents.search.result import Evaluation

logger = logging.getLogger(__name__)

COLUMNS = (
    "number",
    "key",
    "seconds",
    "fidelity",
    "final",
    "feasible",
    "loss",
    "accuracy",
    "samples",
    "standard_error",
    "average_bits",
    "size_bytes",
    "bops",
    "latency",
    "value",
    "best_value",
)
"""The first columns; `bits:<layer>` and the other decisions that were asked follow."""
_KEY, _SECONDS = COLUMNS.index("key"), COLUMNS.index("seconds")

Row = list[str]


class EvaluationTable:
    """Rows of evaluations in a file; those of an earlier process are kept.

    A search that goes on asks its questions again: the row of a question that stands in the table
    already is compared with what the search has in hand, the time apart, and rewritten where it
    says anything else; the first question that differs replaces all that follow.

    Args:
        path: the CSV file.
        problem: gives the layers and decisions.
    """

    def __init__(self, path: Path, problem: Problem) -> None:
        self.path = path
        self._heads = tuple(dict.fromkeys(["bits", *(h.name for h in problem.space.heads)]))
        layers = [facts.name for facts in problem.layers]
        chosen = [f"{head}:{name}" for head in self._heads for name in layers]
        self._columns = [csv_cell(column) for column in (*COLUMNS, *chosen)]
        self._earlier: list[Row] = []
        self.seconds_before = 0.0
        """Seconds that the search took in earlier processes."""

    @property
    def earlier(self) -> int:
        """The number of rows of earlier processes that still stand."""
        return len(self._earlier)

    def rows(self) -> int:
        """Return how many whole rows stand in the file; `FileFormatError` if it is no table."""
        return len(self._read())

    def open(self, *, keep: bool) -> None:
        """Write the header, and the whole rows of an earlier process where they are kept.

        Raises:
            FileFormatError: the file is no table.
            StorageError: it cannot be written.
        """
        self._earlier = self._read() if keep else []
        self._write()

    def add(self, evaluation: Evaluation, best: Evaluation | None) -> bool:
        """Add an evaluation and return True, unless it stands there already."""
        number = evaluation.number
        if number <= self.earlier:
            recorded = self._earlier[number - 1]
            if recorded[_KEY] == evaluation.config.key:
                self.seconds_before = max(0.0, float(recorded[_SECONDS]) - evaluation.seconds)
                row = self._row(evaluation, best)
                row[_SECONDS] = recorded[_SECONDS]
                if row != recorded:
                    self._correct(number, row)
                return False
            self.cut(number - 1)  # other versions of a library search differently
        with about(self.path), open(self.path, "a", encoding="utf-8", newline="") as stream:
            stream.write(csv_text([self._row(evaluation, best)]))
        return True

    def _correct(self, number: int, row: Row) -> None:
        """Write a row in the place of one that was altered since it was written."""
        pairs = zip(self._columns, self._earlier[number - 1], row, strict=True)
        column, there, here = next(pair for pair in pairs if pair[1] != pair[2])
        logger.warning(
            "%s: evaluation %d had %s %.40r where %s was measured; the row is rewritten",
            *(self.path, number, column, there, here),
        )
        self._earlier[number - 1] = row
        self._write()

    def cut(self, rows: int) -> None:
        """Leave the first `rows` rows of earlier processes only."""
        if rows < self.earlier:
            self._earlier = self._earlier[:rows]
            self._write()

    def _row(self, evaluation: Evaluation, best: Evaluation | None) -> Row:
        values = evaluation.record() | {
            "seconds": round(evaluation.seconds + self.seconds_before, 6),
            "best_value": None if best is None else best.value,
        }
        plain = [values[column] for column in COLUMNS]
        chosen = [getattr(choice, head) for head in self._heads for choice in evaluation.config]
        return ["" if value is None else str(value) for value in [*plain, *chosen]]

    def _read(self) -> list[Row]:
        """Read the rows of an earlier process; what a kill or a crash tore off is left out."""
        with reading(self.path):
            if not self.path.exists():
                return []
            try:
                text = read_text(self.path, MOST_BYTES)
                rows = [row for _, row in csv_rows(text[: text.rfind("\n") + 1])]
            except FileFormatError as error:
                raise FileFormatError(f"no table ({error}); move it away") from error
        if not rows or rows[0] != self._columns:
            return []
        return list(takewhile(self._is_whole, rows[1:]))

    def _is_whole(self, row: Row) -> bool:
        return len(row) == len(self._columns) and _is_time(row[_SECONDS])

    def _write(self) -> None:
        write_file(self.path, csv_text([self._columns, *self._earlier]))


def _is_time(text: str) -> bool:
    try:
        return 0.0 <= float(text) < math.inf
    except ValueError:
        return False
