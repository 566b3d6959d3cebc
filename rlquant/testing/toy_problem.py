"""A problem whose log loss is a sum over its layers: known exactly, scored in microseconds."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rlquant.config import FLOAT_BITS, Fidelity, LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.cost.feasible import FeasibleSet
from rlquant.errors import unknown_name
from rlquant.layers import ERROR_BITS, LayerFacts
from rlquant.score import Score
from rlquant.space import SearchSpace

FLOAT_LOSS = 0.25
SENSITIVITIES = (0.9, 0.1, 0.4, 0.05, 0.6, 0.2, 0.8, 0.3)
SIZES = (40, 160, 80, 320, 60, 200, 30, 90)

PENALTY: dict[object, float] = {
    "stochastic": 0.2,
    "gptq": -0.03,
    "symmetric": 0.05,
    "quantile": -0.02,
    "kmeans": -0.04,
    8: 0.01,
    4: 0.15,
}
"""What a decision adds to the log loss, whatever the bits; nothing where it is not listed."""

MIXED = SearchSpace(
    bits=(2, 4, 8, 16),
    rounding=("nearest", "stochastic"),
    method=("post_training", "ternary"),
    points=("clipped", "kmeans"),
    activation_bits=(None, 8),
)
"""Five decisions a layer, illegal combinations (16 bits of stored points) among them."""


def loss_of_choice(choice: LayerChoice) -> float:
    """Return what a choice adds to the log loss at sensitivity 1: a sum over its decisions."""
    if choice.method == "float":
        return -0.01
    activation = PENALTY.get(choice.activation_bits, 0.0)
    if choice.method == "ternary":
        return 0.7 + activation
    by_bits = 4.0 ** (2 - choice.bits)
    return by_bits + PENALTY.get(choice.rounding, 0) + PENALTY.get(choice.points, 0) + activation


@dataclass(frozen=True)
class WeightBits:
    """Bits of the weights alone, a quarter more with float activations, so that all heads cost."""

    weights: int
    fixed: int = 0

    def of_layer(self, facts: LayerFacts, choice: LayerChoice) -> int:
        """Return the layer's bits."""
        floats = facts.parameters // 4 if choice.activation_bits is None else 0
        return facts.parameters * choice.arithmetic_bits + floats

    def units(self, limit: float) -> int:
        """Return the bits that `limit` bits per weight allow."""
        return math.floor(limit * self.weights + 1e-9)

    def value(self, units: int) -> float:
        """Return bits per weight."""
        return units / self.weights


class ToyProblem:
    """A `Problem` without a network, whose best configuration is known.

    Its log loss is a sum over the layers, and its cost the bits of the weights alone, so that
    budgets are always in average bits.

    Args:
        layers: number of layers, at least 1, named "layer0", "layer1", ...
        average_bits: the budget, in bits per weight.
        space: options of every layer; by default 2, 3, 4 and 8 bits.
        loss_of: another loss of a configuration than the sum.
        sensitivities: of the layers, which multiply what their choices add to the log loss; they
            begin again where there are more layers, as the sizes do.

    Attributes:
        evaluated: the configurations asked for, in order.
    """

    seed = 0
    fidelity: Fidelity = "calibrated"

    def __init__(
        self,
        layers: int = 4,
        average_bits: float = 4.0,
        space: SearchSpace | None = None,
        loss_of: Callable[[QuantizationConfig], float] | None = None,
        sensitivities: Sequence[float] = SENSITIVITIES,
    ) -> None:
        self.space = space or SearchSpace(bits=(2, 3, 4, 8))
        self.sensitivities = {
            f"layer{i}": sensitivities[i % len(sensitivities)] for i in range(layers)
        }
        self.layers = tuple(_facts(i) for i in range(layers))
        self._loss_of = loss_of
        self._cost = WeightBits(sum(facts.parameters for facts in self.layers))
        self.evaluated: list[QuantizationConfig] = []
        self._set_budget(Budget.average_bits(average_bits))

    def _set_budget(self, budget: Budget) -> None:
        self.budget = budget
        options = self.space.options(self.fidelity)
        own = self.space.own_options([facts.name for facts in self.layers], self.fidelity)
        ties = self.space.decisions(self.layers)
        self.feasible = FeasibleSet(self.layers, options, self._cost, budget, own, ties)

    @property
    def fingerprint(self) -> str:
        """The same word for all toy problems."""
        return "toy"

    @property
    def float_score(self) -> Score:
        """The score of all layers in float."""
        kept = [LayerChoice(facts.name, FLOAT_BITS, method="float") for facts in self.layers]
        return self._score(QuantizationConfig(tuple(kept)), FLOAT_LOSS)

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score a configuration and note that it was asked for."""
        for choice in config:
            if choice.layer not in self.sensitivities:
                raise unknown_name("searched layer", choice.layer, self.sensitivities)
        self.evaluated.append(config)
        return self._score(config, self.loss(config))

    def evaluate_many(self, configs: Iterable[QuantizationConfig]) -> list[Score]:
        """Score several configurations, in the order given."""
        return [self.evaluate(config) for config in configs]

    def with_budget(self, budget: Budget) -> Self:
        """Return the same problem under another budget; `evaluated` is shared."""
        other = copy.copy(self)
        other._set_budget(budget)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def loss(self, config: QuantizationConfig) -> float:
        """Return the loss of a configuration, whether or not it keeps the budget."""
        if self._loss_of is not None:
            return self._loss_of(config)
        canonical = config.canonical(self.fidelity)
        added = (by * loss_of_choice(canonical[layer]) for layer, by in self.sensitivities.items())
        return FLOAT_LOSS * math.exp(sum(added))

    def everything(self) -> list[tuple[int, ...]]:
        """Return every vector of option indices, within the budget or not."""
        numbers = range(len(self.feasible.options))
        return list(itertools.product(numbers, repeat=len(self.feasible)))

    def best_loss(self) -> float:
        """Return the smallest loss within the budget, by looking at all that is in it."""
        fitting = (i for i in self.everything() if self.feasible.fits(i))
        return min(self.loss(self.feasible.config(indices)) for indices in fitting)

    def within(self, fraction: float) -> Budget:
        """Return a budget: 0 leaves the cheapest configuration only, 1 allows all."""
        feasible = self.feasible
        units = feasible.smallest + fraction * (feasible.largest - feasible.smallest)
        return Budget.average_bits(self._cost.value(round(units)))

    def _score(self, config: QuantizationConfig, loss: float) -> Score:
        bits = sum(self._cost.of_layer(f, config[f.name]) for f in self.layers)
        return Score(
            loss=loss,
            accuracy=math.exp(-loss),
            size_bytes=-(-bits // 8),
            average_bits=self._cost.value(bits),
            size_ratio=self._cost.value(bits) / FLOAT_BITS,
            bops=bits,
            samples=100,
        )


def _facts(index: int) -> LayerFacts:
    errors = tuple(float(np.float32(0.4 * 4.0 ** (2 - bits))) for bits in ERROR_BITS)
    weights = SIZES[index % len(SIZES)]
    return LayerFacts(
        name=f"layer{index}",
        kind="linear",
        shape=(10, weights // 10),
        parameters=weights,
        macs=weights,
        std=0.1,
        largest=0.4,
        kurtosis=3.0,
        relative_error=errors,
    )
