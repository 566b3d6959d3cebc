"""The evaluations of a search, read back from its table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlquant.errors import FileFormatError
from rlquant.files import reading
from rlquant_agents.reporting.run_text import MOVE_AWAY, read_text


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
    rows = csv.DictReader(read_text(path).splitlines())
    with reading(path):
        return tuple(_row(row, column, scale, number) for number, row in enumerate(rows, start=2))


def _row(row: Mapping[str, str], column: str, scale: float, line: int) -> Measured:
    try:
        return Measured(
            key=row["key"],
            loss=float(row["loss"]),
            value=float(row["value"]),
            cost=float(row[column]) / scale,
            feasible=_truth(row["feasible"]),
            final=_truth(row["final"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"line {line} is damaged ({error!r}); {MOVE_AWAY}") from error


def _truth(text: str) -> bool:
    return {"True": True, "False": False}[text]
