"""Knapsacks of the increases of the loss that gradients expect, and of some drawn around them."""

from __future__ import annotations

import numpy as np

from rlquant.cost.feasible import FeasibleSet, Indices
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_agents.surrogate.increase_surrogate import IncreaseSurrogate
from rlquant_agents.surrogate.weight_error import Effects

SOURCE = "the knapsack of expected increases"
"""What a search names as the source of their first knapsack."""
DOMINANT_SHARE = 0.2
"""Of the sum of a knapsack: a decision whose increase is more of it dominates the sum."""
RAISED = 2.0
"""What the increases of a dominant decision are multiplied by for a second answer."""


def first_answers(increases: Effects, feasible: FeasibleSet) -> Indices:
    """Return the knapsack of expected increases, and a second where one decision dominates the sum.

    Such a decision, e.g. a classifier with a quarter of the weights, is where a wrong increase
    costs most, and evaluations that all have the same option there do not correct it. The second
    answer is the knapsack with that decision's increases doubled, where it has another option.

    Args:
        increases: expected ones, shape `(decisions, options)`, at least 0.
        feasible: what fits.

    Returns:
        Option indices, shape `(1 or 2, decisions)`.
    """
    answer = solve_knapsack(increases, feasible)
    taken = increases[np.arange(len(answer)), answer]
    largest = int(taken.argmax())
    if taken[largest] <= DOMINANT_SHARE * taken.sum():
        return answer[None]
    raised = increases.copy()
    raised[largest] *= RAISED
    other = solve_knapsack(raised, feasible)
    return answer[None] if other[largest] == answer[largest] else np.array([answer, other])


def increase_surrogate(session: Session, increases: Effects, log_shift: float) -> IncreaseSurrogate:
    """Return the surrogate of a session's problem whose increases were asked for.

    Args:
        session: whose problem it is.
        increases: expected ones, shape `(decisions, options)`.
        log_shift: what is added to losses before their log is taken.
    """
    return IncreaseSurrogate(
        increases,
        session.feasible.names,
        session.float_score.loss,
        log_shift,
        session.label_variance,
    )


def drawn_knapsacks(
    surrogate: IncreaseSurrogate,
    feasible: FeasibleSet,
    count: int,
    largest_share: float,
    generator: np.random.Generator,
) -> Indices:
    """Return the knapsack of what a surrogate expects, and `count` of increases drawn around it.

    Args:
        surrogate: draws.
        feasible: what fits.
        count: knapsacks beside the first, at least 0.
        largest_share: of the surrogate's standard deviations; each draw has a share from 0 to this.
        generator: of shares and draws.

    Returns:
        Option indices, shape `(1 + count, decisions)`.
    """
    shares = [0.0, *generator.uniform(0.0, largest_share, count)]
    drawn = [surrogate.draw(generator, share) for share in shares]
    return np.array([solve_knapsack(each, feasible) for each in drawn])
