"""Latency as a cost: a table of measured layers."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rlquant.config import LayerChoice
from rlquant.cost.units import most_within
from rlquant.errors import BudgetError, FileFormatError, StorageError
from rlquant.layers import LayerFacts

NANOSECONDS = 10**9

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
    def read(cls, path: str | Path) -> LatencyTable:
        """Read a CSV.

        Raises:
            FileFormatError: the line that is wrong, or that says again what a line before says.
            StorageError: the file cannot be read.
        """
        rows: dict[LatencyKey, float] = {}
        runs: set[tuple[int, int]] = set()
        try:
            with open(path, newline="", encoding="utf-8-sig") as stream:
                reader = csv.DictReader(stream, skipinitialspace=True)
                for key, seconds, run in cls._rows(reader, str(path)):
                    runs.add(run)
                    if key in rows:
                        raise FileFormatError(
                            f"{path}, line {reader.line_num}: a second row for kind={key[0]}, "
                            f"shape={key[1]}, macs={key[2]}, bits={key[3]}, "
                            f"activation_bits={key[4]}; keep one"
                        )
                    rows[key] = seconds
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}: not a CSV in UTF-8: {error}") from error
        except OSError as error:
            raise StorageError(f"{path}: cannot be read ({error.strerror or error})") from error
        if len(runs) > 1:
            raise FileFormatError(
                f"{path}: times of different runs (batch, threads) {sorted(runs)}; keep one"
            )
        batch, threads = next(iter(runs), (1, 1))
        return cls(rows, str(path), batch=batch, threads=threads)

    @classmethod
    def _rows(
        cls, reader: csv.DictReader[str], path: str
    ) -> Iterable[tuple[LatencyKey, float, tuple[int, int]]]:
        missing = [c for c in cls.REQUIRED if c not in (reader.fieldnames or ())]
        if missing:
            raise FileFormatError(f"{path}: no column {', '.join(missing)}; need {cls.REQUIRED}")
        for row in reader:
            try:
                macs, activation = row.get("macs"), row.get("activation_bits")
                key = (
                    row["kind"],
                    row["shape"],
                    int(macs) if macs else None,
                    int(row["bits"]),
                    int(activation) if activation else None,
                )
                seconds = float(row["seconds"])
                run = (int(row.get("batch") or 1), int(row.get("threads") or 1))
            except (TypeError, ValueError) as error:
                raise FileFormatError(f"{path}, line {reader.line_num}: {error}") from error
            if min(run) < 1:
                raise FileFormatError(
                    f"{path}, line {reader.line_num}: batch={run[0]}, threads={run[1]}, use at "
                    f"least 1"
                )
            if not (math.isfinite(seconds) and seconds >= 0):
                raise FileFormatError(
                    f"{path}, line {reader.line_num}: seconds={seconds}, must be finite and >= 0"
                )
            yield key, seconds, run

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
