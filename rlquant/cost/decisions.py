"""Decisions and the layers that they are about: one each, or several that are tied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rlquant.errors import SettingsError
from rlquant.layer_groups import group_facts
from rlquant.layers import LayerFacts

Indices = npt.NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.float64)


class Decisions:
    """Vectors of decisions as vectors of layers, and back.

    Args:
        layers: the searched layers in execution order.
        ties: decision -> its layers; each layer its own by default.

    Attributes:
        facts: of the decisions, those of tied layers together.
        tied: whether some decision is about several layers.
    """

    def __init__(
        self, layers: Sequence[LayerFacts], ties: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._layers = tuple(facts.name for facts in layers)
        number = {name: i for i, name in enumerate(self._layers)}
        given = ties or {name: (name,) for name in self._layers}
        self._members = [np.array([number[name] for name in names]) for names in given.values()]
        self.of_layer: Indices = np.empty(len(layers), dtype=np.int64)
        for decision, members in enumerate(self._members):
            self.of_layer[members] = decision
        self.tied = len(self._members) < len(layers)
        self.facts = tuple(
            group_facts(name, [layers[i] for i in members])
            for name, members in zip(given, self._members, strict=True)
        )

    def summed(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return sums over the layers of each decision, `(layers, m)` to `(decisions, m)`."""
        return np.array([values[members].sum(axis=0) for members in self._members])

    def common(self, own: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the options that all layers of a decision have, `(decisions, options)`.

        Raises:
            SettingsError: tied layers have none in common.
        """
        found = np.array([own[members].all(axis=0) for members in self._members])
        for facts, members, row in zip(self.facts, self._members, found, strict=True):
            if not row.any():
                names = ", ".join(self._layers[i] for i in members)
                raise SettingsError(
                    f"tie {facts.name!r}: its layers have no option in common: {names}; give them "
                    f"the same override, or do not tie them"
                )
        return found

    def to_layers(self, decided: Sequence[int] | Indices) -> Sequence[int] | Indices:
        """Return the option index of every layer from those of the decisions."""
        return np.asarray(decided)[self.of_layer] if self.tied else decided

    def from_layers(self, chosen: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the option index of every decision; None where tied layers differ."""
        if not self.tied:
            return chosen
        decided = tuple(chosen[members[0]] for members in self._members)
        agree = all(decided[d] == c for d, c in zip(self.of_layer, chosen, strict=True))
        return decided if agree else None
