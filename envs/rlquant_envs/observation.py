"""Observations: named features of the layer to decide and of the budget, all in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlquant import FeasibleSet, LayerFacts, Problem
from rlquant.layers import ERROR_BITS
from rlquant.space import HEADS

Observation = npt.NDArray[np.float32]

LAYER_FEATURES: dict[str, str] = {
    "position": "index of the layer over the index of the last one",
    "is_linear": "1 for a linear layer",
    "is_convolution": "1 for a convolution",
    "is_transposed": "1 for a transposed convolution",
    "is_embedding": "1 for an embedding",
    "parameters": "log2 of the number of weights over 24",
    "parameter_share": "the layer's share of all searched weights",
    "mac_share": "the layer's share of all searched multiply-accumulates",
    "fan_in": "log2 of the weights per output channel over 16",
    "has_bias": "1 if the layer has a bias",
    "normalized": "1 if its output goes straight into a BatchNorm",
    "std": "standard deviation of the weights, as s / (s + 0.1)",
    "peak": "standard deviation over the largest absolute weight",
    "kurtosis": "3 over the kurtosis of the weights (1 for a normal distribution)",
    **{
        f"error_{bits}_bits": f"relative squared error of the weights at {bits} bits, "
        "as 1 + log10(error) / 6"
        for bits in ERROR_BITS
    },
    "cost_share": "the layer's share of what all layers can cost above their cheapest options",
}
"""Features of the layer to decide, the same in every episode: name -> meaning."""

BUDGET_FEATURES: dict[str, str] = {
    "budget": "the limit, between the cheapest configuration (0) and the most expensive (1)",
    "budget_left": "share of the room above the cheapest configuration that is still unspent",
    "room": "budget left over what the layers still to decide could cost above their cheapest",
    "average_room": "budget left per weight still to decide, over the same at the start, / 2",
}
"""Features of the budget, which change with every choice: name -> meaning."""

LAST_CHOICE_FEATURES: dict[str, str] = {
    f"last_{head}": f"option chosen for {head} at the layer before, over the index of the last "
    "option (0 at the first layer)"
    for head in HEADS
    if head != "group_size"
}
"""Features of the choice before: name -> meaning. Decisions that are not asked stay 0.

The group size is not among them, so that observations keep the form that saved agents were trained
on; what it costs is seen in the budget that is left."""

FEATURES: dict[str, str] = {**LAYER_FEATURES, **BUDGET_FEATURES, **LAST_CHOICE_FEATURES}
"""Every feature in the order of the observation: name -> meaning."""

_BUDGET_AT = len(LAYER_FEATURES)
BUDGET_LEFT_AT, ROOM_AT, AVERAGE_ROOM_AT = _BUDGET_AT + 1, _BUDGET_AT + 2, _BUDGET_AT + 3
"""Where the features lie that depend on what was spent."""
_LAST_AT = _BUDGET_AT + len(BUDGET_FEATURES)


class Observer:
    """Makes observations, shape `(len(FEATURES),)`, float32, always a new array.

    Attributes:
        room: units above the cheapest configuration, at least 1.
        excess_rest: by layer, what the layers from it on can cost above their cheapest.
        twice_weight_rest: by layer, twice the share of the weights in the layers from it on.
    """

    def __init__(self, problem: Problem) -> None:
        feasible = problem.feasible
        excess = feasible.costs.max(axis=1) - feasible.costs.min(axis=1)
        self.excess_rest: list[int] = [*np.cumsum(excess[::-1])[::-1].tolist(), 0]
        weights = np.array([facts.parameters for facts in feasible.decisions], dtype=np.float64)
        shares = np.concatenate([np.cumsum(weights[::-1])[::-1] / weights.sum(), [0.0]])
        self.twice_weight_rest: list[float] = np.maximum(2 * shares, 1e-9).tolist()
        self._may_spend = [feasible.limit - rest for rest in feasible.rest.tolist()]
        self.room = max(1, feasible.limit - feasible.smallest)
        level = _share(feasible.limit - feasible.smallest, feasible.largest - feasible.smallest)
        rows = _layer_rows(feasible.decisions, feasible)
        self._plain = np.zeros((len(rows), len(FEATURES)), dtype=np.float32)
        self._plain[:, :_BUDGET_AT] = rows
        self._plain[:, _BUDGET_AT] = level
        # where each asked head's last choice goes, and how many steps its options have
        seen = [i for i, h in enumerate(problem.space.heads) if f"last_{h.name}" in FEATURES]
        heads = [problem.space.heads[i] for i in seen]
        self._last_seen = np.array(seen, dtype=np.int64)
        self._last_at = np.array([_LAST_AT + HEADS.index(h.name) for h in heads], dtype=np.int64)
        self._last_steps = np.array([max(1, len(h.options) - 1) for h in heads], dtype=np.float64)
        self._templates: dict[tuple[int, tuple[int, ...] | None], Observation] = {}

    def observe(self, layer: int, spent: int, last_action: Sequence[int] | None) -> Observation:
        """Return the observation before layer number `layer` is decided.

        Args:
            layer: in `[0, layers]`; the number of layers gives the end of the episode.
            spent: units of the layers decided so far, fixed part included.
            last_action: options executed at the layer before, None at the first; a tuple is
                quickest.
        """
        last = last_action if last_action is None else tuple(last_action)
        known = self._templates.get((layer, last))
        template = self.template(layer, last) if known is None else known
        features: Observation = template.copy()
        left = max(0, self._may_spend[layer] - spent)
        budget_left = min(1.0, left / self.room)
        features[BUDGET_LEFT_AT] = budget_left
        features[ROOM_AT] = _share(left, self.excess_rest[layer])
        features[AVERAGE_ROOM_AT] = min(1.0, budget_left / self.twice_weight_rest[layer])
        return features

    def template(self, layer: int, last_action: tuple[int, ...] | None) -> Observation:
        """Return what an observation holds whatever was spent; see `observe`. Not to be changed."""
        features: Observation = self._plain[layer].copy()
        if last_action is not None:
            features[self._last_at] = np.asarray(last_action)[self._last_seen] / self._last_steps
        self._templates[(layer, last_action)] = features
        return features


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole > 0 else 1.0


def _layer_rows(layers: Sequence[LayerFacts], feasible: FeasibleSet) -> Observation:
    """Return the layers' features by row; one row of zeros more for the end of the episode."""
    weights = sum(facts.parameters for facts in layers)
    macs = max(1, sum(facts.macs for facts in layers))
    excess = feasible.costs.max(axis=1) - feasible.costs.min(axis=1)
    rows = [
        [
            i / max(1, len(layers) - 1),
            facts.kind == "linear",
            facts.kind.startswith("conv") and "transpose" not in facts.kind,
            "transpose" in facts.kind,
            facts.kind == "embedding",
            math.log2(facts.parameters) / 24,
            facts.parameters / weights,
            facts.macs / macs,
            math.log2(max(1, facts.parameters // facts.shape[facts.channel_axis])) / 16,
            facts.has_bias,
            facts.normalized,
            facts.std / (facts.std + 0.1),
            facts.std / facts.largest if facts.largest else 0.0,
            3 / max(3e-3, facts.kurtosis),
            *(1 + math.log10(max(error, 1e-6)) / 6 for error in facts.relative_error),
            excess[i] / max(1, excess.sum()),
        ]
        for i, facts in enumerate(layers)
    ]
    return np.clip(np.array([*rows, [0.0] * _BUDGET_AT], dtype=np.float32), 0.0, 1.0)
