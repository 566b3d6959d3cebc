"""Effects of layers that were measured in groups, refined where it matters for a solution."""

from __future__ import annotations

import itertools

import numpy as np

from rlquant.cost.feasible import Indices
from rlquant_agents.search.session import Session
from rlquant_agents.search.uniform import uniform_row
from rlquant_agents.searchers.sensitivity import (
    changed,
    effect_of,
    measured_groups,
    reference_option,
)
from rlquant_agents.surrogate.weight_error import Effects

MOST_FACTOR = 20.0
"""By which a measurement changes effects, at most, up or down."""


class RefinedEffects:
    """Effects by layer and option; measurements scale those of the layers that they are of.

    Groups are halved: one half is measured at its options in a solution, the others at their
    reference, and the other half keeps what is left of the group's sum. Single layers are measured
    at those options that are only extrapolated.

    Args:
        session: is asked.
        effects: of `measure_effects`, shape `(layers, options)`.

    Attributes:
        effects: the same, refined.
    """

    def __init__(self, session: Session, effects: Effects) -> None:
        self._session, self.effects = session, effects.copy()
        feasible = session.feasible
        self._base = uniform_row(feasible, reference_option(feasible.options, session.space))
        numbers = np.array(measured_groups(session))
        self._groups = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]

    def measure(self, solution: Indices, count: int) -> bool:
        """Measure at most `count` times, what matters most first; one evaluation is left.

        Returns:
            Whether anything was measured.
        """
        before, base = len(self._session.history), self._base.tolist()
        while len(self._session.history) < before + count and self._has_room():
            room = before + count - len(self._session.history)
            groups = self._most_uncertain(solution, min(self._session.batch, room))
            if not groups:
                break
            rows = [changed(base, self._moved(_half(group), solution)) for group in groups]
            self._session.prefetch([base, *rows][: self._session.remaining - 1])
            for group in groups:
                if self._has_room():
                    self._refine(group, solution)
        return len(self._session.history) > before

    def _has_room(self) -> bool:
        """Return whether a measurement leaves an evaluation for what is made of it."""
        known = self._session.recall(self._base.tolist()) is not None
        return self._session.remaining > (1 if known else 2)

    def _most_uncertain(self, solution: Indices, count: int) -> list[Indices]:
        """Return groups whose effects may still be wrong, those first that are the largest."""
        layers = np.arange(len(solution))
        at_stake = np.abs(self.effects[layers, solution]) * (solution != self._base)
        values = [float(at_stake[group].sum()) for group in self._groups]
        found = (
            self._groups[number]
            for number in np.argsort(values, kind="stable")[::-1]
            if values[number] > 0 and self._is_uncertain(self._groups[number], solution)
        )
        return list(itertools.islice(found, count))

    def _is_uncertain(self, group: Indices, solution: Indices) -> bool:
        return len(group) > 1 or not self._is_known(group, solution)

    def _is_known(self, group: Indices, solution: Indices) -> bool:
        row = changed(self._base.tolist(), self._moved(group, solution))
        return self._session.recall(row) is not None

    def _refine(self, group: Indices, solution: Indices) -> None:
        """Measure a half of a group, or the single layer that it is."""
        self._groups = [other for other in self._groups if other is not group]
        half, rest = _half(group), group[len(_half(group)) :]
        total, expected = self._sum(group, solution), self._sum(half, solution)
        moved = self._moved(half, solution)
        measured = effect_of(self._session, self._base.tolist(), moved) if moved else 0.0
        self._scale(half, measured, expected)
        self._scale(rest, total - measured, total - expected)
        self._groups += [part for part in (half, rest) if len(part)]

    def _scale(self, layers: Indices, measured: float, expected: float) -> None:
        if len(layers) and expected > 0:
            factor = min(max(measured / expected, 1 / MOST_FACTOR), MOST_FACTOR)
            self.effects[layers] *= factor

    def _sum(self, layers: Indices, solution: Indices) -> float:
        return float(self.effects[layers, solution[layers]].sum())

    def _moved(self, layers: Indices, solution: Indices) -> dict[int, int]:
        """Return which of some layers a solution moves from the reference, and where."""
        moved = layers[solution[layers] != self._base[layers]]
        return dict(zip(moved.tolist(), solution[moved].tolist(), strict=True))


def _half(group: Indices) -> Indices:
    """Return the half of a group that is measured."""
    return group[: (len(group) + 1) // 2]
