"""Decoding of Optuna's suggestions into configurations within the budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import optuna

from rlquant.cost.feasible import Indices
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.optuna.cost_ranks import CostRanks


class Decoder(Protocol):
    """Turns a trial's suggestions into option indices within the budget."""

    def suggest(self, trial: optuna.Trial) -> Indices:
        """Ask the trial for its numbers and return the feasible configuration they stand for."""

    def parameters(self, indices: Indices) -> Mapping[str, float | str]:
        """Return suggestions that decode to `indices`."""


class ShrunkRanks:
    """One number in [0, 1] a layer: a rank among its options by cost.

    Where the configuration exceeds the budget, all numbers shrink by the same factor, no more than
    needed. So no trial is wasted on the far side of the budget, the numbers' proportions say who
    gets what of it, and one number for all decisions is what models of few trials can learn.
    """

    def __init__(self, session: Session) -> None:
        self._feasible = session.feasible
        self._layers = np.arange(len(session.feasible))
        self._ranks = CostRanks(session.feasible.costs)

    def suggest(self, trial: optuna.Trial) -> Indices:
        """Ask the trial for a number a layer."""
        names = self._feasible.names
        return self.decoded(np.array([trial.suggest_float(name, 0.0, 1.0) for name in names]))

    def parameters(self, indices: Indices) -> Mapping[str, float | str]:
        """Return the middle of each option's range."""
        middles = self._ranks.middles(indices).tolist()
        return dict(zip(self._feasible.names, middles, strict=True))

    def decoded(self, numbers: npt.NDArray[np.float64]) -> Indices:
        """Return the configuration of the largest factor up to 1 that fits."""
        highest, by_cost = self._ranks.rank_of(numbers), self._ranks.by_cost
        # as the factor falls, each layer steps below rank r at r / (number * options)
        steps = [
            (rank / max(number, 1e-12), layer)
            for layer, number in enumerate(numbers.tolist())
            for rank in range(1, highest[layer] + 1)
        ]
        ranks = highest.copy()
        found: Indices = by_cost[self._layers, ranks]
        for _, layer in sorted(steps, reverse=True):
            if self._feasible.fits(found):
                break
            ranks[layer] -= 1
            found[layer] = by_cost[layer, ranks[layer]]
        return found


class Decisions:
    """Every decision of every layer on its own; what does not fit is repaired.

    Bits are suggested as ordered numbers, other decisions as categories; parameters are named
    `<layer>.<decision>`.
    """

    def __init__(self, session: Session) -> None:
        self._feasible = session.feasible
        self._space = session.space
        self._option = session.space.option_of_action(session.fidelity)
        self._sizes = [len(head.options) for head in session.space.heads]

    def suggest(self, trial: optuna.Trial) -> Indices:
        """Ask the trial for every decision and return the feasible configuration it stands for."""
        wanted = [self._one_layer(trial, name) for name in self._feasible.names]
        return self._feasible.repair(wanted)

    def parameters(self, indices: Indices) -> Mapping[str, float | str]:
        """Return the suggestions that decode to `indices`."""
        found: dict[str, float | str] = {}
        for layer, option in zip(self._feasible.names, indices, strict=True):
            number = int(np.flatnonzero(self._option == option)[0])
            for head, choice in zip(self._space.heads, self._space.actions[number], strict=True):
                is_bits = head.name == "bits"
                value = int(choice) if is_bits else str(head.options[choice])
                found[f"{layer}.{head.name}"] = value
        return found

    def _one_layer(self, trial: optuna.Trial, layer: str) -> int:
        action = []
        for head in self._space.heads:
            name = f"{layer}.{head.name}"
            if head.name == "bits":
                action.append(trial.suggest_int(name, 0, len(head.options) - 1))
            else:
                labels = [str(option) for option in head.options]
                action.append(labels.index(trial.suggest_categorical(name, labels)))
        number = int(np.ravel_multi_index(action, self._sizes))
        if self._option[number] >= 0:
            return int(self._option[number])
        legal = np.flatnonzero(self._option >= 0)
        differs = (self._space.actions[legal] != action).sum(axis=1)
        return int(self._option[legal[differs.argmin()]])


DECODERS: Mapping[str, Callable[[Session], Decoder]] = {
    "shrunk": ShrunkRanks,
    "decisions": Decisions,
}
"""What suggested numbers may mean, by name."""
