"""Greedy descent over measured sensitivities: the step down that hurts least for what it saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rlquant import FeasibleSet
from rlquant.cost.feasible import Indices
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.sensitivity import measure_effects
from rlquant_agents.surrogate.weight_error import Effects

Step = tuple[int, int]
"""A layer and the option that it takes."""


@dataclass(frozen=True, kw_only=True)
class Greedy(Searcher):
    """Measure each option at each layer alone, then step down greedily until the budget is kept.

    Every layer begins at its best option. The step that hurts least for the units it saves comes
    next, whatever its width, as in the automatic mixed precision of AIMET (Qualcomm, since 2022);
    at last what is left of the budget is spent on the steps that help most for what they cost.
    """

    name: ClassVar[str] = "greedy"

    def explore(self, session: Session, seed: int) -> None:
        """Ask for the sensitivities, then for what the greedy descent ends at."""
        effects = measure_effects(session)
        session.ask_indices(greedy_descent(effects, session.feasible).tolist())


def greedy_descent(effects: Effects, feasible: FeasibleSet) -> Indices:
    """Return the feasible configuration that greedy steps lead to.

    Args:
        effects: shape `(layers, options)`, smaller is better.
        feasible: costs and limit.
    """
    # of equally good options the cheapest
    place = np.lexsort((feasible.costs, effects), axis=1)[:, 0]
    while not feasible.fits(place):
        layer, option = _cheapest_step_down(effects, feasible, place)
        place[layer] = option
    while (step := _best_step_up(effects, feasible, place)) is not None:
        place[step[0]] = step[1]
    return place


def _cheapest_step_down(effects: Effects, feasible: FeasibleSet, place: Indices) -> Step:
    """Return the change of one layer that hurts least for each unit it saves."""
    harm, more = _changes(effects, feasible, place)
    rate = np.full(harm.shape, np.inf)
    np.divide(harm, -more, out=rate, where=more < 0)
    return _smallest(rate)


def _best_step_up(effects: Effects, feasible: FeasibleSet, place: Indices) -> Step | None:
    """Return the change that still fits and helps most for each unit it costs, if any helps."""
    harm, more = _changes(effects, feasible, place)
    fits = (harm < 0) & (more <= feasible.limit - feasible.spent(place))
    rate = np.where(fits, harm / np.maximum(more, 1), np.inf)
    return _smallest(rate) if fits.any() else None


def _changes(effects: Effects, feasible: FeasibleSet, place: Indices) -> tuple[Effects, Indices]:
    """Return what every change of one layer adds to the log loss and to the cost."""
    here = np.arange(len(place)), place
    return effects - effects[here][:, None], feasible.costs - feasible.costs[here][:, None]


def _smallest(rates: Effects) -> Step:
    layer, option = np.unravel_index(rates.argmin(), rates.shape)
    return int(layer), int(option)
