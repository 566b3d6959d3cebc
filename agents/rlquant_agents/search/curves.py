"""Curves of searches: the best loss so far after each evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from rlquant_agents.search.result import Evaluation

Curve = npt.NDArray[np.float64]
"""The best loss so far after each evaluation; NaN before the first feasible one."""


def best_losses(history: Iterable[Evaluation]) -> Curve:
    """Return the best loss after each evaluation of a search."""
    return running_best((e.candidate, e.score.loss, e.value) for e in history)


def running_best(asked: Iterable[tuple[bool, float, float]]) -> Curve:
    """Return the best loss after each question, given whether it may win, its loss and value."""
    best_value, best_loss = -math.inf, math.nan
    curve = []
    for feasible, loss, value in asked:
        if feasible and value > best_value:
            best_value, best_loss = value, loss
        curve.append(best_loss)
    return np.array(curve)
