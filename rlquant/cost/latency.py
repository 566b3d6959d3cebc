"""Latency as a cost: a table of measured layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from rlquant.arguments import explained
from rlquant.config import LayerChoice
from rlquant.cost.units import most_within
from rlquant.documents import named_rows, number, read_text, whole
from rlquant.errors import BudgetError, FileFormatError
from rlquant.files import reading
from rlquant.layers import LayerFacts
from rlquant.paths import PathLike, path_of

NANOSECONDS = 10**9
MOST_SECONDS = 10**6
"""Of one layer; the nanoseconds of thousands of such layers fit in 64 bits."""

LatencyKey = tuple[str, str, int | None, int, int | None]
"""Kind, shape, multiply-accumulates (None: any), weight bits, activation bits (None: float)."""


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of each layer by kind, shape and bits: the latency cost.

    Rows come from a CSV with the columns `kind`, `shape` ("16x8x3x3"), `bits`, `seconds`, and
    optionally `activation_bits` (empty: float) and `macs` where equal shapes see different images.
    Layers that stay in float32 need a row of 32 bits; `fixed` is their share of a network. What
    the times are of may stand in the columns `batch` and `threads`; one each in all rows.
    """

    rows: Mapping[LatencyKey, float]
    source: str = "latency table"
    fixed: int = 0
    batch: int = 1
    threads: int = 1

    REQUIRED = ("kind", "shape", "bits", "seconds")

    @classmethod
    @explained
    def read(cls, path: PathLike) -> LatencyTable:
        """Read a CSV.

        Raises:
            SettingsError: no path.
            FileFormatError: the line that is wrong, or that says again what a line before says.
            StorageError: the file cannot be read.
        """
        path = path_of("table", path)
        rows: dict[LatencyKey, float] = {}
        runs: set[tuple[int, int]] = set()
        with reading(path):
            text = read_text(path)
            for line, row in named_rows(text, cls.REQUIRED, skip_spaces=True):
                try:
                    key, seconds, run = _measured(row)
                    if key in rows:
                        raise FileFormatError(
                            f"a second row for kind={key[0]}, shape={key[1]}, macs={key[2]}, "
                            f"bits={key[3]}, activation_bits={key[4]}; keep one"
                        )
                except FileFormatError as error:
                    raise FileFormatError(f"line {line}: {error}") from error
                runs.add(run)
                rows[key] = seconds
            if len(runs) > 1:
                raise FileFormatError(
                    f"times of different runs (batch, threads) {sorted(runs)}; keep one"
                )
        batch, threads = next(iter(runs), (1, 1))
        return cls(rows, str(path), batch=batch, threads=threads)

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the layer's nanoseconds, rounded up; `BudgetError` names a missing row."""
        shape = "x".join(str(n) for n in facts.shape)
        for macs in (facts.macs, None):
            key = (facts.kind, shape, macs, choice.arithmetic_bits, choice.activation_bits)
            if key in self.rows:
                seconds = Fraction(str(float(self.rows[key])))  # 0.001 is a million, not one more
                return math.ceil(seconds * NANOSECONDS)
        raise BudgetError(
            f"{self.source} has no row for layer {facts.name!r}: kind={facts.kind}, shape={shape}, "
            f"bits={choice.arithmetic_bits}, activation_bits={choice.activation_bits}; measure it, "
            f"or take the option out of the space"
        )

    def units(self, limit: float) -> int:
        """Return whole nanoseconds."""
        return most_within(limit, Fraction(limit) * NANOSECONDS, self.value)

    def value(self, units: int) -> float:
        """Return seconds."""
        return units / NANOSECONDS


def _measured(row: Mapping[str, str]) -> tuple[LatencyKey, float, tuple[int, int]]:
    """Return what a row measured, its seconds, and the batch and threads that they are of."""
    key = (
        row["kind"],
        row["shape"],
        _optional(row, "macs", 0, 2**63 - 1),
        whole(row["bits"], "bits", 1, 32),
        _optional(row, "activation_bits", 1, 32),
    )
    run = _optional(row, "batch", 1, 2**31), _optional(row, "threads", 1, 2**31)
    return key, number(row["seconds"], "seconds", 0, MOST_SECONDS), (run[0] or 1, run[1] or 1)


def _optional(row: Mapping[str, str], column: str, least: int, most: int) -> int | None:
    """Return a whole number of a column that may be missing or empty."""
    text = row.get(column)
    return whole(text, column, least, most) if text else None
