"""What is quantized for expected increases: which options at which layers, in how many parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rlquant.config import LayerChoice
from rlquant.cost.feasible import FeasibleSet
from rlquant.evaluation.default_limits import increase_limit
from rlquant.evaluation.packed_weight import code_bytes
from rlquant.samples import Samples
from rlquant.sensitivity.anchors import anchor_options, profiled_layers
from rlquant.space import for_layer

Floats = npt.NDArray[np.float64]
VERSION = 4
"""Raised whenever the same plan would give other increases; part of keys."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IncreasePlan:
    """The pairs of layer and option that are quantized; the rest follows from them.

    Attributes:
        counts: weights of each layer, in execution order.
        choices: by layer, the options that are quantized there, by their number.
        profiles: for each layer the number of the one of its role that has all options quantized.
        options: how many there are.
        limit: bytes of codes that are held at a time.
    """

    counts: Mapping[str, int]
    choices: Mapping[str, Mapping[int, LayerChoice]]
    profiles: tuple[int, ...]
    options: int
    limit: int

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], feasible: FeasibleSet) -> IncreasePlan:
        """Return the plan of a feasible set: with many weights all options at a few layers alone.

        Args:
            weights: float weight of each layer, in execution order.
            feasible: options and costs of the same layers, and the budget.
        """
        names, profiles = list(weights), profiled_layers(list(weights))
        counts = {name: weight.numel() for name, weight in weights.items()}
        prices = _prices(feasible, np.array(list(counts.values()), dtype=np.float64))
        anchors = anchor_options(feasible.options, prices, sum(counts.values()))
        choices = {}
        for row, name in enumerate(names):
            own = _quantized(feasible, row)
            known = {int(number) for number in feasible.standing[row, anchors]} & own
            taken = own if profiles[name] == name or not known else known
            choices[name] = {n: for_layer(feasible.options[n], name) for n in sorted(taken)}
        return cls(
            counts=counts,
            choices=choices,
            profiles=tuple(names.index(profiles[name]) for name in names),
            options=len(feasible.options),
            limit=increase_limit(weights.values()),
        )

    @property
    def pairs(self) -> int:
        """How many weights are quantized."""
        return sum(map(len, self.choices.values()))

    @property
    def parts(self) -> int:
        """In how many parts the layers are taken, one after the other, where memory is free."""
        return sum(1 for _ in self.chunks(self.limit))

    def chunks(self, most: int) -> Iterator[list[str]]:
        """Yield consecutive layers whose codes take at most `most` bytes, at least one each."""
        total, chunk = 0, list[str]()
        for name, choices in self.choices.items():
            widths = (choice.arithmetic_bits for choice in choices.values())
            size = sum(code_bytes(self.counts[name], bits) for bits in widths)
            if chunk and total + size > most:
                yield chunk
                total, chunk = 0, []
            chunk.append(name)
            total += size
        if chunk:
            yield chunk

    def key(self, draws: int, samples: Samples) -> str:
        """Return what tells the increases of this plan from others of the same problem.

        Args:
            draws: gradients.
            samples: that they are taken on.
        """
        asked = [{i: asdict(c) for i, c in found.items()} for found in self.choices.values()]
        parts = [VERSION, draws, samples.fingerprint(), self.options, self.profiles, asked]
        document = json.dumps(parts)
        return hashlib.sha256(document.encode()).hexdigest()


def _quantized(feasible: FeasibleSet, row: int) -> set[int]:
    """Return the options of a layer that quantize it."""
    own = np.flatnonzero(feasible.layer_own[row]).tolist()
    return {number for number in own if feasible.options[number].method != "float"}


def _prices(feasible: FeasibleSet, weights: Floats) -> Floats:
    """Return what each option costs where layers have it, by their part of the budget."""
    own = feasible.layer_own
    room = max(feasible.limit - feasible.cost.fixed, 1)
    costs = np.where(own, feasible.layer_costs, 0).sum(axis=0)
    share = (own * weights[:, None]).sum(axis=0) / weights.sum()
    found: Floats = np.maximum(costs, 1) / np.maximum(share * room, 1e-12)
    return found
