"""A problem over a complete table: exact scores in microseconds, without a network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant.arguments import explained
from rlquant.config import Fidelity, LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.cost.feasible import FeasibleSet, Indices
from rlquant.documents.schema import shown
from rlquant.errors import ChoiceError, unknown_name
from rlquant.layers import LayerFacts
from rlquant.pareto import pareto_front
from rlquant.score import Score
from rlquant.space import SearchSpace, for_layer
from rlquant.tabular.table import Table

Scored = tuple[QuantizationConfig, Score]


class TabularProblem:
    """A table under a budget; keeps the protocol `Problem`.

    Searchers and environments run on it as on the live problem that was measured: layers, space,
    costs and fingerprint are the same, and the losses are rounded to float32.

    Args:
        table: every configuration's scores.
        budget: the limit; of latency there can be none.

    Raises:
        BudgetError: a budget that no configuration keeps, or one of latency.
    """

    @explained
    def __init__(self, table: Table, budget: Budget) -> None:
        self.table = table
        self.name = f"table {table.name}"
        self.layers: tuple[LayerFacts, ...] = table.facts
        self.space: SearchSpace = table.space
        self.seed: int = table.seed
        self.fidelity: Fidelity = table.fidelity
        self.fingerprint: str = table.fingerprint
        self.float_score: Score = table.float_score
        costs = table.costs
        # plain numbers by group and option: quicker to add up than arrays, a few at a time
        self._rows = list(
            zip(
                costs.size_bytes.tolist(), costs.average_bits.tolist(), costs.bops.tolist(),
                strict=True,
            )
        )  # fmt: skip
        self._set(budget)

    def _set(self, budget: Budget) -> None:
        self.budget = budget
        names, options = [facts.name for facts in self.layers], self.table.options
        cost = self.table.costs.under(budget, names, options)
        self.feasible = FeasibleSet(self.layers, options, cost, budget)

    # --- scores

    @explained
    def evaluate(self, config: QuantizationConfig) -> Score:
        """Look up a configuration, also one over the budget.

        Raises:
            UnknownNameError: `config` names a layer that is not searched.
            ChoiceError: a choice that the table does not hold.
        """
        return self.evaluate_indices(self.indices(config))

    @explained
    def evaluate_many(self, configs: Iterable[QuantizationConfig]) -> list[Score]:
        """Look up several configurations, in the order given."""
        return [self.evaluate(config) for config in configs]

    def evaluate_indices(self, indices: Sequence[int]) -> Score:
        """Look up the configuration of a vector of option indices (plain whole numbers)."""
        table = self.table
        number = table.index_of(indices)
        measured, costs = table.measured, table.costs
        size, bits, bops = costs.fixed_bytes, costs.fixed_bits, costs.fixed_bops
        for (sizes, widths, operations), option in zip(self._rows, indices, strict=True):
            size += sizes[option]
            bits += widths[option]
            bops += operations[option]
        return Score(
            loss=measured.losses.item(number),
            accuracy=measured.correct.item(number) / table.samples,
            size_bytes=size,
            average_bits=bits / costs.weights,
            size_ratio=size / costs.float_bytes,
            bops=bops,
            samples=table.samples,
            fidelity=self.fidelity,
        )

    def indices(self, config: QuantizationConfig) -> list[int]:
        """Return the option indices of a configuration; layers not named are kept in float32.

        Raises:
            UnknownNameError: `config` names a layer that is not searched.
            ChoiceError: a choice that the table does not hold.
        """
        vector = self.feasible.vector(config)
        if vector is not None:
            return list(vector)
        named = {choice.layer: choice.canonical(self.fidelity) for choice in config}
        names = self.feasible.names
        for name in named:
            if name not in names:
                raise unknown_name("searched layer", name, names)
        kept = LayerChoice("", 32, method="float")
        whole = tuple(named.get(name) or for_layer(kept, name) for name in names)
        found: list[int] = self.feasible.indices(QuantizationConfig(whole)).tolist()
        return found

    @explained
    def losses_of(self, indices: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the losses of many configurations at once.

        Args:
            indices: option indices, shape `(n, groups)`.

        Returns:
            Shape `(n,)`.

        Raises:
            ChoiceError: another shape, or indices that are not in the table.
        """
        try:
            rows = np.asarray(indices)
        except (TypeError, ValueError, RuntimeError) as error:  # tensors elsewhere, ragged lists
            raise ChoiceError(f"indices {shown(indices)} are no array of whole numbers") from error
        whole = np.issubdtype(rows.dtype, np.integer)
        options = len(self.table.options)
        if not whole or rows.ndim != 2 or rows.shape[1] != len(self.layers):
            raise ChoiceError(
                f"indices of shape {rows.shape} and type {rows.dtype}; give whole numbers of "
                f"shape (n, {len(self.layers)})"
            )
        if rows.size and not 0 <= rows.min() <= rows.max() < options:
            raise ChoiceError(f"indices outside 0..{options - 1}, the options of the table")
        numbers = rows.astype(np.int64) @ np.array(self.table.strides, dtype=np.int64)
        return self.table.measured.losses[numbers].astype(np.float64)

    # --- all configurations

    def feasible_mask(self) -> npt.NDArray[np.bool_]:
        """Return which configurations keep the budget, shape `(configurations,)`."""
        kept: npt.NDArray[np.bool_] = self.units() <= self.feasible.limit
        return kept

    def units(self) -> Indices:
        """Return what every configuration spends of the budget, shape `(configurations,)`."""
        return _sums(self.feasible.cost.fixed, self.feasible.costs)

    def optimum(self) -> Scored:
        """Return the configuration with the smallest loss within the budget, and its score.

        Of equally good ones the smallest file, and of these the first in the table.
        """
        within = np.flatnonzero(self.feasible_mask())
        losses = self.table.measured.losses[within]
        return self._scored(self._smallest(within[losses == losses.min()]))

    def pareto(self) -> list[Scored]:
        """Return the whole table's front: what nothing cheaper is as good as, cheapest first.

        Cheap is what spends less of the budget's quantity, whatever its limit; good is a smaller
        loss. Of configurations equal in both, the smallest file, and of these the first in the
        table. Losses that are not finite are on no front.
        """
        front = pareto_front(self.units(), self.table.measured.losses, self._sizes())
        return [self._scored(number) for number in front.tolist()]

    def _smallest(self, numbers: Indices) -> int:
        """Return the configuration with the smallest file, the first of several."""
        if len(numbers) == 1:
            return int(numbers[0])
        return int(numbers[self._sizes()[numbers].argmin()])

    def _sizes(self) -> Indices:
        return _sums(self.table.costs.fixed_bytes, self.table.costs.size_bytes)

    def _scored(self, number: int) -> Scored:
        indices = self.table.indices_of(number)
        return self.feasible.config(indices), self.evaluate_indices(indices)

    # --- budgets and copies

    @explained
    def with_budget(self, budget: Budget) -> TabularProblem:
        """Return the same problem under another budget; the table is shared."""
        other = copy.copy(self)
        other._set(budget)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> TabularProblem:
        """Return itself: `gymnasium.make` deep-copies its keywords, and the table is shared."""
        return self


def _sums(fixed: int, costs: Indices) -> Indices:
    """Return the sum of every combination of one number a row, the last row's fastest."""
    total = np.array([fixed], dtype=np.int64)
    for row in costs:
        total = (total[:, None] + row).reshape(-1)
    return total
