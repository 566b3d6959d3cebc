"""Budgets, and the costs of configurations that they limit.

Every cost is a sum of whole numbers over the layers plus a fixed part (bits, bytes,
bit-operations, nanoseconds), so that a budget is kept exactly and not up to rounding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Integral, Real
from typing import Literal, Protocol, get_args

from torch import nn

from rlquant.arguments import explained
from rlquant.config import FLOAT_BITS, LayerChoice
from rlquant.cost.file_layout import fixed_bytes, stored_tensors
from rlquant.cost.latency import LatencyTable
from rlquant.cost.size import LayerStorage, Storage
from rlquant.cost.units import most_within
from rlquant.documents.schema import shown
from rlquant.errors import BudgetError
from rlquant.layers import LayerFacts
from rlquant.paths import PathLike
from rlquant.weight_sites import channel_axis_of, site_of

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


@dataclass(frozen=True)
class AverageBitsCost:
    """Bits of codes, scales, offsets and stored codebooks per weight of the searched layers."""

    storage: Mapping[str, Storage]
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
        return most_within(limit, Fraction(limit) * self.weights, self.value)

    def value(self, units: int) -> float:
        """Return bits per weight."""
        return units / self.weights


@dataclass(frozen=True)
class SizeCost:
    """Bytes of the whole file that a search is for, exact to the byte.

    That is the packed file without entropy coding, or the one of the problem's target.

    `fixed` is the file without the searched layers' weights; `float_bytes` the bytes of the
    float network's tensors. With `as_ratio` the budget is given as a share of `float_bytes`.
    `packed` says which of the two files it is.
    """

    storage: Mapping[str, Storage]
    fixed: int
    float_bytes: int
    as_ratio: bool = False
    packed: bool = True

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the bytes that the layer's weight takes in the file."""
        return self.storage[facts.name].file_bytes(choice)

    def units(self, limit: float) -> int:
        """Return the bytes that `limit` allows."""
        scale = self.float_bytes if self.as_ratio else 1
        return most_within(limit, Fraction(limit) * scale, self.value)

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


UNITS: Mapping[str, int] = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
"""Bytes of the units of file sizes, in lower case."""
SIZE = re.compile(rf"(\d{{1,15}}(?:\.\d{{1,9}})?) ?({'|'.join(UNITS)}|)", re.IGNORECASE | re.ASCII)
"""A number and a unit, which may be missing."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit that no returned configuration exceeds; make one with the class methods."""

    quantity: Quantity
    limit: float
    table: LatencyTable | None = None

    @explained
    def __post_init__(self) -> None:
        if self.quantity not in get_args(Quantity):
            raise BudgetError(f"quantity={self.quantity!r}, use one of {get_args(Quantity)}")
        limit: object = self.limit
        number = isinstance(limit, Real) and not isinstance(limit, bool)
        if not number or not _is_positive(self.limit):
            raise BudgetError(
                f"budget {self.quantity}={shown(limit)} must be a positive number that a float "
                f"can hold"
            )
        plain = int if isinstance(limit, Integral) else float  # NumPy's numbers become Python's
        object.__setattr__(self, "limit", plain(self.limit))
        if (self.quantity == "latency") != (self.table is not None):
            raise BudgetError("a latency budget needs a LatencyTable, and only it has one")

    @classmethod
    def average_bits(cls, limit: float) -> Budget:
        """Limit the stored bits per weight of the searched layers, scales included.

        Examples:
            >>> from rlquant import Budget
            >>> print(Budget.average_bits(3.5))
            average bits 3.5
        """
        return cls("average_bits", limit)

    @classmethod
    def size_bytes(cls, limit: float) -> Budget:
        """Limit the bytes of the whole packed file.

        Examples:
            >>> from rlquant import Budget
            >>> Budget.size_bytes(12_000).limit
            12000
        """
        return cls("size_bytes", limit)

    @classmethod
    @explained
    def file_size(cls, size: str | int) -> Budget:
        """Limit the bytes of the whole file as people write them: "75MB", "1.5 GB", "700 KiB".

        It is the packed file, or that of the target. KB, MB and GB are powers of 1000; KiB, MiB and
        GiB of 1024.

        Raises:
            BudgetError: no number with one of these units.

        Examples:
            >>> from rlquant import Budget
            >>> Budget.file_size("1.5MB").limit
            1500000
        """
        if isinstance(size, int):
            return cls("size_bytes", size)
        found = SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
        if found is None:
            raise BudgetError(
                f"file size {shown(size)}: give a number of bytes, or one with a unit of "
                f"{', '.join(UNITS)}, e.g. 75MB"
            )
        return cls("size_bytes", int(Fraction(found[1]) * UNITS[found[2].lower() or "b"]))

    @classmethod
    def size_ratio(cls, limit: float) -> Budget:
        """Limit the packed file as a share of the float network's bytes (below 1 is smaller).

        Examples:
            >>> from rlquant import Budget
            >>> print(Budget.size_ratio(0.25))
            size ratio 0.25
        """
        return cls("size_ratio", limit)

    @classmethod
    def bops(cls, limit: float) -> Budget:
        """Limit the bit-operations of one sample.

        Examples:
            >>> from rlquant import Budget
            >>> print(Budget.bops(2e9))
            bops 2e+09
        """
        return cls("bops", limit)

    @classmethod
    @explained
    def latency(cls, seconds: float, table: LatencyTable | PathLike) -> Budget:
        """Limit the seconds that a latency table (or its CSV file) predicts."""
        read = table if isinstance(table, LatencyTable) else LatencyTable.read(table)
        return cls("latency", seconds, read)

    def __str__(self) -> str:
        unit = " s" if self.quantity == "latency" else ""
        return f"{self.quantity.replace('_', ' ')} {self.limit:g}{unit}"


def _is_positive(limit: float) -> bool:
    try:
        return 0.0 < float(limit) < math.inf
    except OverflowError:  # a whole number beyond all floats
        return False


@dataclass(frozen=True)
class NetworkCosts:
    """All costs of one network's configurations.

    `kept` are the layers that stay in float32 whatever the configuration.
    """

    average_bits: AverageBitsCost
    size: SizeCost
    bops: BopsCost
    kept: tuple[LayerFacts, ...] = ()

    @classmethod
    def of(
        cls,
        network: nn.Module,
        layers: Sequence[LayerFacts],
        kept_macs: Mapping[str, int] | None = None,
    ) -> NetworkCosts:
        """Read the costs off a float network.

        Args:
            network: float network.
            layers: the searched layers.
            kept_macs: by name, the multiply-accumulates of the layers that stay in float32, as
                `count_macs` returns them.
        """
        tensors = stored_tensors(network)
        weights = {f.name: site_of(network, f.name).tensor for f in layers}
        storage = {
            f.name: LayerStorage(network.get_parameter(weights[f.name]), f.channel_axis)
            for f in layers
        }
        fixed = fixed_bytes(tensors, set(weights.values()))
        float_bytes = sum(tensor.nbytes for tensor in tensors.values())
        kept = tuple(_kept_facts(network, *item) for item in (kept_macs or {}).items())
        return cls(
            AverageBitsCost(storage),
            SizeCost(storage, fixed, float_bytes),
            BopsCost(sum(facts.macs for facts in kept) * FLOAT_BITS * FLOAT_BITS),
            kept,
        )

    def under(self, budget: Budget) -> Cost:
        """Return the cost that `budget` limits.

        Raises:
            BudgetError: a latency table without a row for a layer that stays in float32.
        """
        if budget.table is not None:
            table = budget.table
            kept = (
                table.of_layer(f, LayerChoice(f.name, FLOAT_BITS, method="float"))
                for f in self.kept
            )
            return replace(table, fixed=table.fixed + sum(kept))
        costs: dict[str, Cost] = {
            "average_bits": self.average_bits,
            "size_bytes": self.size,
            "size_ratio": replace(self.size, as_ratio=True),
            "bops": self.bops,
        }
        return costs[budget.quantity]


def _kept_facts(network: nn.Module, name: str, macs: int) -> LayerFacts:
    """Return what the costs of a layer that stays in float32 depend on."""
    site = site_of(network, name)
    weight, axis = site.weight_in(network), channel_axis_of(site.kind)
    return LayerFacts(name, site.kind, tuple(weight.shape), weight.numel(), macs, axis)


def total(cost: Cost, layers: Iterable[LayerFacts], choices: Mapping[str, LayerChoice]) -> int:
    """Return the units of a whole configuration."""
    return cost.fixed + sum(cost.of_layer(f, choices[f.name]) for f in layers)
