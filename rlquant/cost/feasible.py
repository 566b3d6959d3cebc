"""The feasible set: masks, the smallest reachable value, repair, exactly uniform sampling.

A configuration is a vector of option indices, one per decision, into the space's canonical
options. A decision is about one layer, or about several that are tied. All costs are whole units,
so "fits" is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rlquant.config import LayerChoice, QuantizationConfig, decisions_apart
from rlquant.cost.budget import Budget, Cost
from rlquant.cost.decisions import Decisions
from rlquant.cost.decisions import Indices as Indices
from rlquant.errors import BudgetError, ChoiceError
from rlquant.layers import LayerFacts
from rlquant.space import for_layer

GRID = 100_000
"""Sampling counts completions on at most this many cost levels; finer costs are rounded up."""


class FeasibleSet:
    """The configurations of a space that keep a budget; all decisions have their options in common.

    What is said of layers here is meant of decisions: tied layers count as one, which costs what
    all of them cost and has the options that all of them have.

    Args:
        layers: the searched layers in execution order.
        options: the canonical choices of a layer (layer name empty).
        cost: what the budget limits.
        budget: the limit.
        own: which options each layer has, shape `(layers, options)`; all by default. An option
            that is not a layer's own costs so much that nothing with it keeps the budget.
        ties: the layers of each decision, see `SearchSpace.decisions`; each its own by default.
        standing: see `standing_options`; by default every option stands for itself. Others are not
            a layer's own, and configurations that name them have the vector of these.

    Attributes:
        layer_names: the searched layers, of which configurations are made.
        layer_costs: by layer and option; `costs` are by decision and option.
        layer_own: which options each layer has; `own` is by decision and option.
        standing: by layer and option, the option that stands for it.
        decisions: facts of what is decided, those of tied layers together.
        names: of the decisions.
        choices: by decision and option, the choice.

    Raises:
        SettingsError: tied layers without a common option.
        BudgetError: not even the cheapest configuration keeps the budget.
    """

    def __init__(
        self,
        layers: Sequence[LayerFacts],
        options: Sequence[LayerChoice],
        cost: Cost,
        budget: Budget,
        own: npt.NDArray[np.bool_] | None = None,
        ties: Mapping[str, Sequence[str]] | None = None,
        standing: Indices | None = None,
    ) -> None:
        self.layer_names = tuple(facts.name for facts in layers)
        self._decisions = Decisions(layers, ties)
        self.decisions = self._decisions.facts
        self.names = tuple(facts.name for facts in self.decisions)
        self.options = tuple(options)
        self.budget = budget
        self.cost = cost
        self.limit = cost.units(budget.limit)
        self.choices = tuple(tuple(for_layer(o, name) for o in options) for name in self.names)
        self._choices = self.choices
        if self._decisions.tied:
            self._choices = tuple(tuple(for_layer(o, f.name) for o in options) for f in layers)
        self.layer_costs = np.array(
            [
                [cost.of_layer(f, c) for c in row]
                for f, row in zip(layers, self._choices, strict=True)
            ],
            dtype=np.int64,
        )
        self.costs = self._decisions.summed(self.layer_costs)
        owned = np.ones(self.layer_costs.shape, dtype=np.bool_) if own is None else own
        numbers = np.tile(np.arange(len(options)), (len(layers), 1))
        self.standing = numbers if standing is None else standing
        owned = owned & (self.standing == numbers)
        self.layer_own, self.own = owned, self._decisions.common(owned)
        cheapest = np.where(self.own, self.costs, self.costs.max()).min(axis=1)
        # rest[i]: the least that the layers from i on can cost
        self.rest = np.concatenate([np.cumsum(cheapest[::-1])[::-1], [0]])
        self.smallest = int(cost.fixed + self.rest[0])
        self.largest = int(cost.fixed + np.where(self.own, self.costs, 0).max(axis=1).sum())
        if not self.own.all():
            self.limit = min(self.limit, self.largest)
            never = cheapest + max(self.limit - self.smallest, 0) + 1
            self.costs = np.where(self.own, self.costs, never[:, None])
            alone = never[self._decisions.of_layer]
            self.layer_costs = np.where(owned, self.layer_costs, alone[:, None])
        if self.smallest > self.limit:
            raise BudgetError(
                f"budget {budget} cannot be kept: the smallest reachable is "
                f"{cost.value(self.smallest)} (every layer at its cheapest option); raise the "
                f"budget, offer fewer bits, or use larger groups"
            )

    def summed(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return sums over the layers of each decision, `(layers, m)` to `(decisions, m)`."""
        return self._decisions.summed(values)

    def __len__(self) -> int:
        return len(self.names)

    def all_indices(self) -> Indices:
        """Return all vectors that keep the budget, sorted, shape `(n, layers)`; see they are few.

        Layer by layer: what has begun is kept where the cheapest rest fits.
        """
        rows = np.zeros((1, 0), dtype=np.int64)
        spent = np.array([self.cost.fixed], dtype=np.int64)
        for layer, costs in enumerate(self.costs):
            together = spent[:, None] + costs
            parent, option = np.nonzero(together + self.rest[layer + 1] <= self.limit)
            rows = np.concatenate([rows[parent], option[:, None]], axis=1)
            spent = together[parent, option]
        return rows

    # --- vectors and configurations

    def config(self, indices: Sequence[int] | Indices) -> QuantizationConfig:
        """Return the configuration of a vector of option indices: a choice for every layer."""
        chosen = zip(self._choices, self._decisions.to_layers(indices), strict=True)
        return QuantizationConfig(tuple(row[i] for row, i in chosen))

    @cached_property
    def _positions(self) -> list[dict[LayerChoice, int]]:
        rows = zip(self._choices, self.standing.tolist(), strict=True)
        return [dict(zip(choices, numbers, strict=True)) for choices, numbers in rows]

    def vector(self, config: QuantizationConfig) -> tuple[int, ...] | None:
        """Return the vector of a configuration that is written as `config` writes it.

        Returns:
            None for any other: not canonical, in another order, or not of the space; also where
            tied layers differ.
        """
        found = self.layer_vector(config)
        return None if found is None else self._decisions.from_layers(found)

    def layer_vector(self, config: QuantizationConfig) -> tuple[int, ...] | None:
        """Return the option index of every layer, tied ones too, where `vector` returns some."""
        if len(config) != len(self.layer_names):
            return None
        try:
            return tuple(row[c] for row, c in zip(self._positions, config, strict=True))
        except KeyError:
            return None

    def indices(self, config: QuantizationConfig) -> Indices:
        """Return the vector of a canonical configuration; `ChoiceError` if outside the space."""
        found = self.vector(config)
        if found is None:
            ordered = QuantizationConfig(tuple(config[name] for name in self.layer_names))
            found = self.vector(ordered)
        if found is None:
            self._require_options(ordered)
            raise ChoiceError("layers that share a decision have different choices")
        return np.array(found)

    def _require_options(self, config: QuantizationConfig) -> None:
        for row, choice in zip(self._positions, config, strict=True):
            if choice not in row:
                raise ChoiceError(f"{for_layer(choice, '')} is not among the options of the space")

    def spent(self, indices: Sequence[int] | Indices) -> int:
        """Return the units of the first `len(indices)` layers, with the fixed part."""
        chosen = self.costs[np.arange(len(indices)), np.asarray(indices, dtype=np.int64)]
        return int(self.cost.fixed + chosen.sum())

    def fits(self, indices: Sequence[int] | Indices) -> bool:
        """Return whether a whole configuration keeps the budget."""
        return self.spent(indices) <= self.limit

    # --- one layer after the other

    def allowed(self, layer: int, spent: int) -> npt.NDArray[np.bool_]:
        """Return which options of layer number `layer` fit together with the cheapest rest."""
        fits: npt.NDArray[np.bool_] = (
            self.costs[layer] + (spent + self.rest[layer + 1]) <= self.limit
        )
        return fits

    @cached_property
    def distance(self) -> npt.NDArray[np.float64]:
        """How far options lie from one another: first by bits, then by the other decisions."""
        return np.array([[option_distance(a, b) for b in self.options] for a in self.options])

    def nearest(self, layer: int, option: int, spent: int) -> int:
        """Return the allowed option nearest to `option`; itself where it is allowed.

        Among equally near ones the most expensive is taken: it uses the budget best.
        """
        allowed = self.allowed(layer, spent)
        if allowed[option]:
            return option
        order = np.lexsort((-self.costs[layer], self.distance[option], ~allowed))
        return int(order[0])

    def repair(self, indices: Sequence[int] | Indices) -> Indices:
        """Return a configuration within the budget, near `indices`; itself where it fits.

        As long as it exceeds the budget, the layer with most bits (ties are broken towards the
        most expensive) steps to the nearest cheaper option: the widest layers give way first and
        none is starved.
        """
        repaired = np.array(indices, dtype=np.int64)
        rows = np.arange(len(repaired))
        for layer in np.flatnonzero(~self.own[rows, repaired]).tolist():
            distance = np.where(self.own[layer], self.distance[repaired[layer]], np.inf)
            repaired[layer] = int(distance.argmin())
        spent = self.spent(repaired)
        widths = np.array([option.arithmetic_bits for option in self.options])
        while spent > self.limit:
            costs = self.costs[rows, repaired]
            can_shrink = costs > self.costs.min(axis=1)
            layer = int(np.lexsort((costs, widths[repaired], can_shrink))[-1])
            cheaper = self.costs[layer] < costs[layer]
            order = np.lexsort((-self.costs[layer], self.distance[repaired[layer]], ~cheaper))
            spent += int(self.costs[layer, order[0]] - costs[layer])
            repaired[layer] = order[0]
        return repaired

    # --- counting and sampling

    @cached_property
    def _grid(self) -> tuple[Indices, int, int]:
        """Costs above the cheapest, on the counting grid, what may be spent there, and its unit."""
        excess = self.costs - self.costs.min(axis=1, keepdims=True)
        room = min(self.limit - self.smallest, int(excess.max(axis=1).sum()))
        steps = excess[self.own & (excess > 0)]
        unit = int(np.gcd.reduce(steps)) if steps.size else 1
        if room // unit > GRID:
            unit = -(-room // GRID)
        return -(-excess // unit), room // unit, unit

    @property
    def exact(self) -> bool:
        """Whether the counting grid is as fine as the costs, so that `count` is exact."""
        excess, _, unit = self._grid
        real = self.costs - self.costs.min(axis=1, keepdims=True)
        return bool((excess * unit == real)[self.own].all())

    @cached_property
    def _completions(self) -> tuple[list[npt.NDArray[np.float64]], float]:
        """For each layer, how many ways the rest can be filled with c units left, up to a factor.

        Returns the arrays, index layer then units left, and the log of the factor of the first.
        """
        excess, room, _ = self._grid
        # backwards: whatever the last layer is given, its rest is empty, which is one way; a layer
        # has the ways of the next, shifted by what each of its options takes, added up
        counts = [np.ones(room + 1)]
        log_factor = 0.0
        for row in excess[::-1]:
            ways = np.zeros(room + 1)
            for shift in row[row <= room]:
                ways[shift:] += counts[-1][: room + 1 - shift]
            if ways[-1] > 1e250:  # keep clear of overflow; ratios are all that sampling needs
                log_factor += math.log(ways[-1])
                ways /= ways[-1]
            counts.append(ways)
        return counts[::-1], log_factor

    def log_count(self) -> float:
        """Return the natural log of the number of feasible configurations."""
        counts, log_factor = self._completions
        return math.log(counts[0][-1]) + log_factor

    def count(self) -> float:
        """Return the number of feasible configurations; infinite above 1e300."""
        counts, log_factor = self._completions
        if log_factor == 0.0:
            return float(counts[0][-1])  # below 2**53 to the last digit
        return math.exp(self.log_count()) if self.log_count() < 690 else math.inf

    def sample(self, generator: np.random.Generator) -> Indices:
        """Draw one feasible configuration, each with the same probability.

        Exact where the room in the budget is at most `GRID` cost levels; with finer costs each
        layer's cost counts rounded up, so that a few configurations at the very limit are missed.
        """
        excess, left, _ = self._grid
        counts, _ = self._completions
        chosen = np.empty(len(self), dtype=np.int64)
        for layer, row in enumerate(excess):
            reachable = np.where(row <= left, left - row, 0)
            ways = np.where(row <= left, counts[layer + 1][reachable], 0.0)
            threshold = generator.random() * ways.sum()
            pick = int(np.searchsorted(np.cumsum(ways), threshold, side="right"))
            pick = min(pick, int(np.flatnonzero(ways)[-1]))
            chosen[layer] = pick
            left -= int(row[pick])
        return chosen


def option_distance(a: LayerChoice, b: LayerChoice) -> float:
    """Return how far two options lie apart: whole numbers for bits, fractions for the rest."""
    return abs(a.arithmetic_bits - b.arithmetic_bits) + decisions_apart(a, b) / 10
