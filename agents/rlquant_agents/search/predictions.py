"""Expected increases as a search asks for them: how many gradients it affords, and what it pays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rlquant import Problem
from rlquant.counted import counted
from rlquant.errors import DataError, NetworkError, SettingsError
from rlquant.problem.protocol import Predicts
from rlquant.sensitivity.progress import Progress

N_DRAWS, PREDICTION_SHARE = (64, 32, 16, 8), 1 / 2
"""Gradients that expected increases are made of, as many as a share of the evaluations affords."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What gradients said of a problem's options.

    Attributes:
        increases: expected ones, shape `(decisions, options)`; None where there are none.
        spent: evaluations that they cost.
        label_variance: see `Predicts.label_variance`.
        note: for the reader of the result; empty where there is nothing to say.
    """

    increases: npt.NDArray[np.float64] | None = None
    spent: int = 0
    note: str = ""
    label_variance: float = 0.0


def predict(problem: Problem, remaining: int, progress: Progress) -> Prediction:
    """Ask a problem for expected increases, at most at `PREDICTION_SHARE` of the evaluations left.

    The price is the same where they are of memory or store, so that a search can be repeated.

    Args:
        problem: of any kind; those that cannot tell give nothing.
        remaining: evaluations that are left.
        progress: told how far the problem is.
    """
    if not isinstance(problem, Predicts) or not problem.predicts:
        return Prediction()
    prices = {draws: problem.prediction_cost(draws) for draws in N_DRAWS}
    draws = next((n for n in N_DRAWS if prices[n] <= PREDICTION_SHARE * remaining), None)
    if draws is None:
        return Prediction()
    try:
        increases = problem.expected_increases(draws, progress)
    except (DataError, NetworkError, SettingsError) as error:
        return Prediction(note=f"gradients do not say what options cost in loss: {error}")
    spent = math.ceil(prices[draws])
    note = (
        f"gradients of {counted(draws, 'draw')} say what options cost in loss; they took as long "
        f"as {as_evaluations(spent)}"
    )
    summed = problem.feasible.summed(increases)
    return Prediction(summed, spent, note, problem.label_variance)


def as_evaluations(spent: int) -> str:
    """Say, in a note, how many of the evaluations that were asked for something took."""
    return (
        f"{counted(spent, 'evaluation')}, which {'counts' if spent == 1 else 'count'} as asked for"
    )
