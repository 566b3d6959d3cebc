"""What a search knows before its first round: from gradients, from measured effects, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from rlquant.cost.feasible import Indices
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.expected_increases import (
    drawn_knapsacks,
    first_answers,
    increase_surrogate,
)
from rlquant_agents.searchers.knapsack import solve_and_refine
from rlquant_agents.searchers.sensitivity import measure_effects
from rlquant_agents.surrogate.kernel import MANY_LAYERS
from rlquant_agents.surrogate.prediction import PredictsLogLoss
from rlquant_agents.surrogate.surrogate import Surrogate
from rlquant_agents.surrogate.weight_error import Effects

AFTER_SOLUTIONS = 0.15
"""Share of the evaluations that is left for rounds where effects of many layers are refined."""
N_SOLUTIONS = 24
"""Knapsacks of drawn increases that are among a round's candidates."""
LARGEST_SHARE = 0.5
"""Of the standard deviations that increases are drawn with."""

Candidates = Callable[[np.random.Generator], Indices]


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """How rounds begin.

    Attributes:
        surrogate: to be fitted to what was evaluated.
        effects: of the options, which the policy is shown; None where it is shown what the layers
            say themselves.
        answers: what is evaluated next, shape `(n, decisions)`; None for configurations of the
            policy.
        candidates: gives further candidates of a round, shape `(n, decisions)`; None for none.
    """

    surrogate: PredictsLogLoss
    effects: Effects | None = None
    answers: Indices | None = None
    candidates: Candidates | None = None


def begin(session: Session, *, sensitivities: bool) -> Beginning:
    """Return the beginning of a search, for which the session may be asked.

    Args:
        session: is asked for effects, where they are wanted.
        sensitivities: whether effects of the options are wanted. Of many layers gradients tell
            them; where there are none, groups of layers are measured and refined.
    """
    if not sensitivities:
        return Beginning(_plain(session))
    if len(session.feasible) <= MANY_LAYERS:
        return Beginning(_plain(session), measure_effects(session))
    return _from_gradients(session) or _from_groups(session)


def _plain(session: Session) -> Surrogate:
    return Surrogate(session.feasible.decisions, session.feasible.options)


def _from_groups(session: Session) -> Beginning:
    left = int(session.evaluations * AFTER_SOLUTIONS)
    effects, surrogate = solve_and_refine(session, left), _plain(session)
    surrogate.set_prior(effects)
    return Beginning(surrogate, effects)


def _from_gradients(session: Session) -> Beginning | None:
    """Return the beginning with the knapsack of expected increases; None where there are none."""
    feasible, shift = session.feasible, session.log_shift
    increases = None if shift is None else session.expected_increases()
    if shift is None or increases is None:
        return None
    surrogate = increase_surrogate(session, increases, shift)
    candidates = partial(drawn_knapsacks, surrogate, feasible, N_SOLUTIONS, LARGEST_SHARE)
    answers = first_answers(increases, feasible)
    return Beginning(surrogate, answers=answers, candidates=candidates)
