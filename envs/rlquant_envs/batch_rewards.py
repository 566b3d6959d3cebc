"""Rewards of many finished episodes at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rlquant import REWARDS, Reward, Score, TabularProblem
from rlquant.cost.feasible import Indices
from rlquant.score import WORST_REWARD, bind_reward

Floats = npt.NDArray[np.float64]


def log_loss(losses: Floats, accuracies: Floats, reference: Score) -> Floats:
    """Return minus the log of the losses relative to the float network's."""
    return -np.log(np.maximum(losses, 1e-12) / max(reference.loss, 1e-12))


def loss(losses: Floats, accuracies: Floats, reference: Score) -> Floats:
    """Return the float network's loss minus the losses."""
    return reference.loss - losses


def accuracy(losses: Floats, accuracies: Floats, reference: Score) -> Floats:
    """Return the accuracies minus the float network's."""
    return accuracies - reference.accuracy


BATCH_REWARDS: dict[str, Callable[[Floats, Floats, Score], Floats]] = {
    "log_loss": log_loss,
    "loss": loss,
    "accuracy": accuracy,
}
"""The rewards of `rlquant.REWARDS` on arrays."""


class BatchReward:
    """The rewards of finished episodes; a function of one's own is asked one after the other.

    Args:
        reward: name of a reward, or `reward(score, float_score) -> float`.
        problem: what was decided on.

    Raises:
        UnknownNameError, SettingsError: no such reward, or one that means nothing here; see
            `bind_reward`.
    """

    def __init__(self, reward: str | Reward, problem: TabularProblem) -> None:
        self._single = bind_reward(reward, problem.float_score)
        names = [name for name, function in REWARDS.items() if reward in (name, function)]
        self._batch = BATCH_REWARDS[names[0]] if names else None
        self._problem = problem

    def __call__(self, losses: Floats, accuracies: Floats, options: Indices) -> Floats:
        """Return the rewards, shape `(n,)`.

        Args:
            losses: shape `(n,)`.
            accuracies: shape `(n,)`.
            options: option indices executed, shape `(n, layers)`.
        """
        if self._batch is None:
            scores = map(self._problem.evaluate_indices, options.tolist())
            return np.array([self._single(score) for score in scores], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            rewards = np.maximum(
                WORST_REWARD, self._batch(losses, accuracies, self._problem.float_score)
            )
        rewards[~np.isfinite(losses)] = WORST_REWARD
        return rewards
