"""What a configuration costs, and the budget it has to keep.

Every cost is a sum of whole numbers over the layers plus a fixed part (bits, bytes,
bit-operations, nanoseconds), so that a budget is kept exactly and not up to rounding.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, get_args

from torch import nn

from rlquant.choices import FLOAT_BITS, BucketSize, LayerChoice
from rlquant.errors import BudgetError, FileFormatError
from rlquant.file_layout import fixed_bytes, stored_tensors
from rlquant.layers import LayerFacts
from rlquant.size import LayerStorage

Quantity = Literal["average_bits", "size_bytes", "size_ratio", "bops", "latency"]


class Cost(Protocol):
    """A cost that adds up over layers, in whole units."""

    @property
    def fixed(self) -> int:
        """Return the units that every configuration pays."""

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the units of one layer under one choice."""

    def units(self, limit: float) -> int:
        """Return the largest whole number of units within `limit`."""

    def value(self, units: int) -> float:
        """Return `units` in the unit in which people give the budget."""


def _most_within(limit: float, near: Fraction, value: Callable[[int], float]) -> int:
    """Return the most whole units whose value is within `limit`; `near` is the exact quotient.

    Judged on the floats that scores show, so that a budget equal to a score's value keeps it.
    """
    units = math.floor(near)
    return units + 1 if value(units + 1) <= limit else units


@dataclass(frozen=True)
class AverageBitsCost:
    """Bits of codes, scales, offsets and stored codebooks per weight of the searched layers."""

    storage: Mapping[str, LayerStorage]
    fixed: int = 0

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the layer's bits."""
        return self.storage[facts.name].bits(choice)

    @property
    def weights(self) -> int:
        """Return the number of searched weights."""
        return sum(s.weights for s in self.storage.values())

    def units(self, limit: float) -> int:
        """Return the bits that `limit` bits per weight allow."""
        return _most_within(limit, Fraction(limit) * self.weights, self.value)

    def value(self, units: int) -> float:
        """Return bits per weight."""
        return units / self.weights


@dataclass(frozen=True)
class SizeCost:
    """Bytes of the whole packed file without entropy coding, exact to the byte.

    `fixed` is the file without the searched layers' weights; `float_bytes` the bytes of the
    float network's tensors. With `as_ratio` the budget is given as a share of `float_bytes`.
    """

    storage: Mapping[str, LayerStorage]
    fixed: int
    float_bytes: int
    as_ratio: bool = False

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the bytes that the layer's weight takes in the file."""
        return self.storage[facts.name].file_bytes(choice)

    def units(self, limit: float) -> int:
        """Return the bytes that `limit` allows."""
        scale = self.float_bytes if self.as_ratio else 1
        return _most_within(limit, Fraction(limit) * scale, self.value)

    def value(self, units: int) -> float:
        """Return bytes, or the share of the float network's bytes."""
        return units / self.float_bytes if self.as_ratio else float(units)


@dataclass(frozen=True)
class BopsCost:
    """Bit-operations of one sample: MACs x weight bits x activation bits, 32 for float."""

    fixed: int = 0

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the layer's bit-operations."""
        return facts.macs * choice.arithmetic_bits * (choice.activation_bits or FLOAT_BITS)

    def units(self, limit: float) -> int:
        """Return whole bit-operations."""
        return math.floor(limit)

    def value(self, units: int) -> float:
        """Return bit-operations."""
        return float(units)


NANOSECONDS = 10**9


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of each layer by kind, shape and bits: the latency cost.

    Rows come from a CSV with the columns `kind`, `shape` ("16x8x3x3"), `bits`, `seconds`, and
    optionally `activation_bits` (empty: float) and `macs` where equal shapes see different images.
    """

    rows: Mapping[tuple[str, str, int | None, int, int | None], float]
    source: str = "latency table"
    fixed: int = 0

    REQUIRED = ("kind", "shape", "bits", "seconds")

    @classmethod
    def read(cls, path: str | Path) -> LatencyTable:
        """Read a CSV; `FileFormatError` names the line that is wrong."""
        try:
            with open(path, newline="", encoding="utf-8") as stream:
                return cls(dict(cls._rows(csv.DictReader(stream), str(path))), str(path))
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}: not a CSV in UTF-8: {error}") from error

    @classmethod
    def _rows(
        cls, reader: csv.DictReader[str], path: str
    ) -> Iterable[tuple[tuple[str, str, int | None, int, int | None], float]]:
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
            except (TypeError, ValueError) as error:
                raise FileFormatError(f"{path}, line {reader.line_num}: {error}") from error
            if not (math.isfinite(seconds) and seconds >= 0):
                raise FileFormatError(
                    f"{path}, line {reader.line_num}: seconds={seconds}, must be finite and >= 0"
                )
            yield key, seconds

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
        return _most_within(limit, Fraction(limit) * NANOSECONDS, self.value)

    def value(self, units: int) -> float:
        """Return seconds."""
        return units / NANOSECONDS


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit that no returned configuration exceeds; make one with the class methods."""

    quantity: Quantity
    limit: float
    table: LatencyTable | None = None

    def __post_init__(self) -> None:
        if self.quantity not in get_args(Quantity):
            raise BudgetError(f"quantity={self.quantity!r}, use one of {get_args(Quantity)}")
        number = isinstance(self.limit, (int, float)) and not isinstance(self.limit, bool)
        if not number or not math.isfinite(self.limit) or self.limit <= 0:
            raise BudgetError(f"budget {self.quantity}={self.limit!r} must be a positive number")
        if (self.quantity == "latency") != (self.table is not None):
            raise BudgetError("a latency budget needs a LatencyTable, and only it has one")

    @classmethod
    def average_bits(cls, limit: float) -> Budget:
        """Limit the stored bits per weight of the searched layers, scales included."""
        return cls("average_bits", limit)

    @classmethod
    def size_bytes(cls, limit: float) -> Budget:
        """Limit the bytes of the whole packed file."""
        return cls("size_bytes", limit)

    @classmethod
    def size_ratio(cls, limit: float) -> Budget:
        """Limit the packed file as a share of the float network's bytes (below 1 is smaller)."""
        return cls("size_ratio", limit)

    @classmethod
    def bops(cls, limit: float) -> Budget:
        """Limit the bit-operations of one sample."""
        return cls("bops", limit)

    @classmethod
    def latency(cls, seconds: float, table: LatencyTable | str | Path) -> Budget:
        """Limit the seconds that a latency table (or its CSV file) predicts."""
        read = table if isinstance(table, LatencyTable) else LatencyTable.read(table)
        return cls("latency", seconds, read)

    def __str__(self) -> str:
        unit = " s" if self.quantity == "latency" else ""
        return f"{self.quantity.replace('_', ' ')} {self.limit:g}{unit}"


@dataclass(frozen=True)
class NetworkCosts:
    """All costs of one network's configurations."""

    average_bits: AverageBitsCost
    size: SizeCost
    bops: BopsCost

    @classmethod
    def of(
        cls,
        network: nn.Module,
        layers: Sequence[LayerFacts],
        bucket_size: BucketSize,
        kept_macs: int = 0,
    ) -> NetworkCosts:
        """Read the costs off a float network.

        Args:
            network: float network.
            layers: the searched layers.
            bucket_size: weights that share a scale.
            kept_macs: multiply-accumulates of the layers that stay in float32.
        """
        tensors = stored_tensors(network)
        weights = {f.name: f"{f.name}.weight" if f.name else "weight" for f in layers}
        storage = {
            f.name: LayerStorage.of(tensors[weights[f.name]], bucket_size, f.channel_axis)
            for f in layers
        }
        fixed = fixed_bytes(tensors, set(weights.values()))
        float_bytes = sum(tensor.nbytes for tensor in tensors.values())
        return cls(
            AverageBitsCost(storage),
            SizeCost(storage, fixed, float_bytes),
            BopsCost(kept_macs * FLOAT_BITS * FLOAT_BITS),
        )

    def under(self, budget: Budget) -> Cost:
        """Return the cost that `budget` limits."""
        if budget.table is not None:
            return budget.table
        costs: dict[str, Cost] = {
            "average_bits": self.average_bits,
            "size_bytes": self.size,
            "size_ratio": replace(self.size, as_ratio=True),
            "bops": self.bops,
        }
        return costs[budget.quantity]


def total(cost: Cost, layers: Iterable[LayerFacts], choices: Mapping[str, LayerChoice]) -> int:
    """Return the units of a whole configuration."""
    return cost.fixed + sum(cost.of_layer(f, choices[f.name]) for f in layers)
