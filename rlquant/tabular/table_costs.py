"""The costs of every option of every group, as whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from rlquant.config import LayerChoice
from rlquant.cost.budget import Budget, Quantity
from rlquant.cost.feasible import Indices
from rlquant.cost.units import most_within
from rlquant.errors import BudgetError, ChoiceError, SettingsError, whole_number
from rlquant.layers import LayerFacts
from rlquant.problem.protocol import Problem
from rlquant.space import for_layer

MOST_UNITS = 2**53
"""No configuration may cost more: up to here whole numbers are exact as floats too."""
NO_LIMIT: Mapping[Quantity, Budget] = {
    "average_bits": Budget.average_bits(2**20),
    "size_bytes": Budget.size_bytes(MOST_UNITS),
    "size_ratio": Budget.size_ratio(2**20),
    "bops": Budget.bops(MOST_UNITS),
}
"""Budgets that everything keeps; they show a problem's costs."""


@dataclass(frozen=True)
class TableCost:
    """One quantity's cost, read off a table; keeps the protocol `Cost`.

    Attributes:
        units_of: group name -> option (layer name empty) -> units.
        fixed: units that every configuration pays.
        scale: units that make one of what budgets are given in.
    """

    units_of: Mapping[str, Mapping[LayerChoice, int]]
    fixed: int
    scale: int

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the units of a group; `ChoiceError` for what the table does not hold."""
        try:
            return self.units_of[facts.name][for_layer(choice, "")]
        except KeyError:
            raise ChoiceError(f"the table has no costs of {choice} at {facts.name!r}") from None

    def units(self, limit: float) -> int:
        """Return the units that `limit` allows."""
        return most_within(limit, Fraction(limit) * self.scale, self.value)

    def value(self, units: int) -> float:
        """Return `units` in what budgets are given in."""
        return units / self.scale


@dataclass(frozen=True, eq=False)
class TableCosts:
    """The costs of all options of all groups.

    Attributes:
        average_bits, size_bytes, bops: shape `(groups, options)`, int64: bits, bytes and
            bit-operations of each option.
        fixed_bits, fixed_bytes, fixed_bops: what every configuration pays beside them.
        weights: number of searched weights, by which bits are divided.
        float_bytes: bytes of the float network's tensors, by which bytes are divided.

    Raises:
        SettingsError: arrays of different shapes or of another type, a cost below 0, costs that
            add up to more than `MOST_UNITS`.
    """

    average_bits: Indices
    size_bytes: Indices
    bops: Indices
    weights: int
    float_bytes: int
    fixed_bits: int = 0
    fixed_bytes: int = 0
    fixed_bops: int = 0
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", np.shape(self.average_bits))
        for name in ("average_bits", "size_bytes", "bops"):
            object.__setattr__(self, name, self._checked(name, getattr(self, name)))
        for name in ("weights", "float_bytes"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1, MOST_UNITS))
        for name in ("fixed_bits", "fixed_bytes", "fixed_bops"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 0, MOST_UNITS))

    def _checked(self, name: str, values: Any) -> Indices:
        given = np.asarray(values)
        if given.ndim != 2 or given.shape != self.shape or given.dtype != np.int64:
            raise SettingsError(
                f"TableCosts: {name} has shape {given.shape} and type {given.dtype}; give int64 of "
                f"one shape (groups, options) for all costs"
            )
        if given.size and not 0 <= int(given.min()) <= int(given.max()) <= MOST_UNITS // len(given):
            raise SettingsError(f"TableCosts: {name} holds a number below 0 or too large to add up")
        kept = given.copy()
        kept.flags.writeable = False
        return kept

    @classmethod
    def of(cls, problem: Problem) -> TableCosts:
        """Read the costs off any problem."""
        feasible = {q: problem.with_budget(budget).feasible for q, budget in NO_LIMIT.items()}
        return cls(
            average_bits=feasible["average_bits"].costs,
            size_bytes=feasible["size_bytes"].costs,
            bops=feasible["bops"].costs,
            weights=round(1 / feasible["average_bits"].cost.value(1)),
            float_bytes=round(1 / feasible["size_ratio"].cost.value(1)),
            fixed_bits=feasible["average_bits"].cost.fixed,
            fixed_bytes=feasible["size_bytes"].cost.fixed,
            fixed_bops=feasible["bops"].cost.fixed,
        )

    def under(
        self, budget: Budget, names: Sequence[str], options: Sequence[LayerChoice]
    ) -> TableCost:
        """Return the cost that `budget` limits.

        Args:
            budget: of bits, bytes or bit-operations.
            names: the groups.
            options: the options of each group, layer names empty.

        Raises:
            BudgetError: a latency budget; a table holds no latencies.
        """
        if budget.quantity == "latency":
            raise BudgetError(
                "a table holds no latencies: give a budget of average_bits, size_bytes, "
                "size_ratio or bops, or take the live problem"
            )
        costs, fixed, scale = {
            "average_bits": (self.average_bits, self.fixed_bits, self.weights),
            "size_bytes": (self.size_bytes, self.fixed_bytes, 1),
            "size_ratio": (self.size_bytes, self.fixed_bytes, self.float_bytes),
            "bops": (self.bops, self.fixed_bops, 1),
        }[budget.quantity]
        rows = zip(names, costs.tolist(), strict=True)
        units_of = {name: dict(zip(options, row, strict=True)) for name, row in rows}
        return TableCost(units_of, fixed, scale)
