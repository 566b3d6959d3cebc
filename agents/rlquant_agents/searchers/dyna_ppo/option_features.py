"""Features of every option of the layer to decide, the same for all networks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rlquant import Problem
from rlquant.cost.feasible import Indices
from rlquant_agents.surrogate.knapsack_to_go import KnapsackToGo
from rlquant_agents.surrogate.weight_error import weight_errors

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

STATE_FEATURES: dict[str, str] = {
    "position": "share of the layers that are decided",
    "parameter_share": "the layer's share of all searched weights",
    "mac_share": "the layer's share of all searched multiply-accumulates",
    "is_linear": "1 for a linear layer",
    "normalized": "1 if its output goes straight into a BatchNorm",
    "budget": "the limit, between the cheapest configuration (0) and the most expensive (1)",
    "budget_left": "share of the room above the cheapest configuration that is still unspent",
    "room": "budget left over what the layers still to decide could cost above their cheapest",
    "measured": "1 where effects were measured, 0 where only weight errors are known",
}
"""Features of the step: name -> meaning."""

OPTION_FEATURES: dict[str, str] = {
    "regret": "effect and cost at the budget's price over the layer's least, in average steps",
    "log_regret": "its log1p",
    "measured_regret": "the same by measured effects alone, log1p",
    "error_regret": "the same by weight errors alone, log1p",
    "log_loss_increase": "effect in average steps, log1p",
    "error_increase": "weight error in average steps, log1p",
    "spending": "cost above the layer's cheapest over what is left, at most 1",
    "cost": "cost above the layer's cheapest over that of its most expensive",
    "bits": "bits over 8, at most 2",
    "is_ternary": "1 for ternary weights",
    "activation_bits": "bits of the layer's inputs over 8, 1 where they stay float",
    "fits": "1 where the budget allows it",
}
"""Features of an option: name -> meaning."""

MOST = 20.0
"""Regrets and increases count as so much at most."""


SUPPORT = 0.1
"""How much weight errors add to measured effects, chosen on training tables."""


class OptionFeatures:
    """Observations of many episodes at once, all at the same layer.

    Args:
        problem: layers, options and costs; its budget is one of many.
        padded: options that an observation has room for; those that do not exist never fit.
    """

    def __init__(self, problem: Problem, padded: int | None = None) -> None:
        self.feasible = problem.feasible
        self.layers, self.options = self.feasible.costs.shape
        self.padded = padded or self.options
        self.size = len(STATE_FEATURES) + self.padded * len(OPTION_FEATURES)
        self.costs = self.feasible.costs.astype(float)
        self.rest = self.feasible.rest.astype(float)
        self.errors = weight_errors(self.feasible.decisions, self.feasible.options)
        self._by_error = KnapsackToGo(self.errors, self.feasible)
        self._layers = _layer_rows(problem)
        self._options = _option_columns(problem)
        self._room = self._by_error.excess[::-1].max(axis=1).cumsum()[::-1]
        self.set_effects(None)

    def set_effects(self, effects: Floats | None) -> None:
        """Set what is known of the options' effects; None for nothing beyond weight errors.

        Args:
            effects: shape `(layers, options)`, up to a constant in each layer.
        """
        self._measured = effects is not None
        self._knapsack = self._by_effects = self._by_error
        if effects is not None:
            self._by_effects = KnapsackToGo(effects, self.feasible)
            self._knapsack = KnapsackToGo(supported(effects, self.errors), self.feasible)

    def log_loss_increase(self, layer: int) -> Floats:
        """Return what each option adds to the sum of log loss increases, shape `(options,)`."""
        found: Floats = self._knapsack.effects[layer]
        return found

    def value_to_go(self, layer: int, spent: Floats, limits: Floats) -> Floats:
        """Return the least increase of the layers from one on, if effects added up, `(n,)`."""
        return self._knapsack.value(layer, limits - spent - self.rest[layer])

    def knapsack_answers(self, limits: Floats) -> Indices:
        """Return the options of least regret that fit, for each limit, shape `(n, layers)`."""
        spent = np.full(len(limits), float(self.feasible.cost.fixed))
        chosen = np.zeros((len(limits), self.layers), dtype=np.int64)
        for layer in range(self.layers):
            room = np.maximum(limits - spent - self.rest[layer], 0.0)
            regrets, _ = self._knapsack.regrets(layer, room)
            fits = self.fits(layer, spent, limits)[:, : self.options]
            chosen[:, layer] = np.where(fits, regrets, np.inf).argmin(axis=1)
            spent += self.costs[layer].take(chosen[:, layer])
        return chosen

    def fits(self, layer: int, spent: Floats, limits: Floats) -> Mask:
        """Return which options fit with the cheapest rest, shape `(n, padded)`.

        Args:
            layer: to decide.
            spent: units so far, the fixed part included, shape `(n,)`.
            limits: units, shape `(n,)`.
        """
        room = limits - spent - self.rest[layer + 1]
        found = np.zeros((len(spent), self.padded), dtype=np.bool_)
        found[:, : self.options] = self.costs[layer] <= room[:, None]
        return found

    def observe(self, layer: int, spent: Floats, limits: Floats) -> Features:
        """Return the observations before a layer, shape `(n, size)`; arguments as in `fits`."""
        count = len(spent)
        found = np.zeros((count, self.size), dtype=np.float32)
        if layer == self.layers:
            return found
        room = np.maximum(limits - spent - self.rest[layer], 0.0)
        whole = np.maximum(limits - self.feasible.smallest, 1.0)
        states = len(STATE_FEATURES)
        found[:, :5] = self._layers[layer]
        found[:, 5] = np.minimum(1.0, whole / max(1.0, self._room[0]))
        found[:, 6] = np.minimum(1.0, room / whole)
        found[:, 7] = np.minimum(1.0, room / max(1.0, self._room[layer]))
        found[:, 8] = self._measured
        regret, increase = self._knapsack.regrets(layer, room)
        measured_regret, _ = self._by_effects.regrets(layer, room)
        error_regret, error_increase = self._by_error.regrets(layer, room)
        excess = self._by_error.excess[layer]
        columns = np.zeros((count, self.padded, len(OPTION_FEATURES)), dtype=np.float32)
        own = columns[:, : self.options]
        own[:, :, 0] = np.minimum(regret, MOST)
        logged = (regret, measured_regret, error_regret, increase, error_increase)
        for column, values in enumerate(logged, start=1):
            own[:, :, column] = np.log1p(np.minimum(values, MOST))
        own[:, :, 6] = np.minimum(1.0, excess / np.maximum(room, 1.0)[:, None])
        own[:, :, 7] = excess / max(1.0, excess.max())
        own[:, :, 8:11] = self._options
        own[:, :, 11] = self.fits(layer, spent, limits)[:, : self.options]
        found[:, states:] = columns.reshape(count, -1)
        return found


def supported(effects: Floats, errors: Floats) -> Floats:
    """Return effects with a tenth of what the weight errors say added, in the same unit.

    Measured effects of wide options are small and noisy, those of weight errors smooth: together
    they choose better than either (see `SUPPORT`).

    Args:
        effects: measured, shape `(layers, options)`.
        errors: relative weight errors, same shape.
    """
    rises = errors - errors.min(axis=1, keepdims=True)
    harms = effects - effects[np.arange(len(errors)), errors.argmin(axis=1)][:, None]
    unit = max(0.0, float((harms * rises).sum() / max((rises**2).sum(), 1e-12)))
    found: Floats = effects + SUPPORT * unit * rises
    return found


def _layer_rows(problem: Problem) -> Floats:
    layers = problem.feasible.decisions
    weights = sum(facts.parameters for facts in layers)
    macs = max(1, sum(facts.macs for facts in layers))
    return np.array(
        [
            [
                i / len(layers),
                facts.parameters / weights,
                facts.macs / macs,
                facts.kind == "linear",
                facts.normalized,
            ]
            for i, facts in enumerate(layers)
        ]
    )


def _option_columns(problem: Problem) -> Floats:
    return np.array(
        [
            [
                min(option.arithmetic_bits / 8, 2.0),
                option.method == "ternary",
                1.0 if option.activation_bits is None else option.activation_bits / 8,
            ]
            for option in problem.feasible.options
        ]
    )
