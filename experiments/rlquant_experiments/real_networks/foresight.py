"""How often an evaluation lies within the interval that the surrogate gave it beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from rlquant import Problem
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session
from rlquant_agents.surrogate.increase_surrogate import IncreaseSurrogate

LEAST, BATCH = 6, 4
"""Evaluations before the first prediction, and those that are predicted at once."""
CONFIDENCE = 0.9


class Foresight(NamedTuple):
    """How many evaluations were predicted, and how many of them lay within their intervals."""

    foreseen: int
    within: int


def foresee(problem: Problem, history: Sequence[Evaluation], evaluations: int) -> Foresight:
    """Fit the surrogate to the first evaluations, predict the next, and so on to the last.

    Args:
        problem: what was searched.
        history: of the search, in its order.
        evaluations: that it had, which decide by how many gradients increases are known.
    """
    session = Session(problem, evaluations)
    increases = session.expected_increases()
    if increases is None or session.log_shift is None:
        return Foresight(0, 0)
    surrogate = IncreaseSurrogate(
        increases,
        problem.feasible.names,
        problem.float_score.loss,
        session.log_shift,
        session.label_variance,
    )
    rows = np.array([problem.feasible.indices(evaluation.config) for evaluation in history])
    losses = np.array([session.log_loss(evaluation) for evaluation in history])
    half = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    foreseen = within = 0
    for start in range(LEAST, len(rows), BATCH):
        surrogate.fit(rows[:start], losses[:start])
        ahead = slice(start, start + BATCH)
        expected, deviation = surrogate.predict(rows[ahead])
        spread = np.hypot(deviation, surrogate.unexplained(rows[ahead]))
        foreseen += len(expected)
        within += int((np.abs(losses[ahead] - expected) <= half * spread).sum())
    return Foresight(foreseen, within)
