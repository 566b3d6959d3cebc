"""The evaluations of a search, read back from its table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlquant.documents import named_rows, number, shown
from rlquant.documents.csv_rows import MOST_BYTES
from rlquant.errors import FileFormatError
from rlquant_agents.reporting.run_text import damaged, read_text


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation.

    Attributes:
        key: hash of the configuration.
        loss: what it measured; may be infinite.
        value: its reward.
        cost: of the budget's quantity.
        feasible: whether it keeps the budget.
        final: whether the loss is complete and of the problem's own fidelity.
    """

    key: str
    loss: float
    value: float
    cost: float
    feasible: bool
    final: bool

    @property
    def candidate(self) -> bool:
        """Whether it may be the result."""
        return self.feasible and self.final


def read_evaluations(path: Path, column: str, scale: float = 1.0) -> tuple[Measured, ...]:
    """Read every evaluation of a search, in order.

    Args:
        path: an evaluations.csv.
        column: what evaluations cost.
        scale: by which that is divided.

    Raises:
        FileFormatError: it is missing or no text, or the line that is wrong.
        StorageError: it cannot be read.
    """
    text = read_text(path, MOST_BYTES)
    with damaged(path):
        rows = named_rows(text, [*COLUMNS, column])
        return tuple(_row(row, column, scale, line) for line, row in rows)


COLUMNS = ("key", "loss", "value", "feasible", "final")
"""Columns that are read whatever a search's budget limits."""


def _row(row: Mapping[str, str], column: str, scale: float, line: int) -> Measured:
    try:
        return Measured(
            key=row["key"],
            loss=number(row["loss"], "loss"),
            value=number(row["value"], "value"),
            cost=number(row[column], column, 0, sys.float_info.max) / scale,
            feasible=_truth(row["feasible"]),
            final=_truth(row["final"]),
        )
    except FileFormatError as error:
        raise FileFormatError(f"line {line}: {error}") from error


def _truth(text: str) -> bool:
    if text not in ("True", "False"):
        raise FileFormatError(f"{shown(text)} is neither True nor False")
    return text == "True"
