"""First answers on training networks that are held out: how much better than the knapsack's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from rlquant import Table
from rlquant_agents.searchers.dyna_ppo.agent import answers_of
from rlquant_experiments.pretraining.training_episodes import (
    KNOWING,
    TIGHTEST,
    TIGHTNESS,
    WIDEST,
    TrainingTable,
)

Floats = npt.NDArray[np.float64]

LIMITS = 16
"""Limits of each table, spread as those of member are."""
EACH = 5
"""Every so many-th table is held out."""


def held_out(tables: Sequence[Table]) -> tuple[list[Table], list[Table]]:
    """Return the tables to train on and those held out, a fifth; with fewer than five, none is."""
    kept = [table for i, table in enumerate(tables) if i % EACH != EACH - 1]
    return kept, [table for i, table in enumerate(tables) if i % EACH == EACH - 1]


@dataclass(frozen=True)
class _Question:
    """A table, what is known of it, and how the knapsack answers under each limit."""

    known: str
    member: TrainingTable
    limits: Floats
    increases: Floats


class Validation:
    """Evaluates a policy by its likeliest answers, against the knapsack's on the same knowledge.

    Args:
        tables: that nobody trains on.
        padded: options that observations have room for.
        seed: decides around which good configuration neighbours are known.

    Attributes:
        possible: what `gains` would be for the best answers there are.
    """

    def __init__(self, tables: Sequence[Table], padded: int, seed: int) -> None:
        shares = np.linspace(TIGHTEST, WIDEST, LIMITS) ** TIGHTNESS
        self._questions = []
        for i, table in enumerate(tables):
            for known in KNOWING:
                member = TrainingTable(table, 1, padded, (seed, i))
                member.know(known)
                limits = member.limits_at(shares)
                increases = member.knapsack_increases(limits)
                self._questions.append(_Question(known, member, limits, increases))
        self.possible = self._possible()

    def gains(self, policy: MaskableActorCriticPolicy) -> dict[str, float]:
        """Return the mean log of the knapsack's loss over the policy's, by what is known.

        Without tables there is nothing to measure: the result is empty.
        """
        found: dict[str, list[float]] = {}
        for question in self._questions:
            member = question.member
            rows = answers_of(policy, member.features, question.limits, greedy=True)
            gain = question.increases - member.increases_of(rows)
            found.setdefault(question.known, []).append(float(gain.mean()))
        return {known: float(np.mean(gains)) for known, gains in found.items()}

    def _possible(self) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for question in self._questions:
            best = question.member.losses_ahead(question.limits)[0][:, 0]
            found.setdefault(question.known, []).append(float((question.increases - best).mean()))
        return {known: float(np.mean(gains)) for known, gains in found.items()}


def share_of_possible(gains: Mapping[str, float], possible: Mapping[str, float]) -> float:
    """Return the mean share of what is possible, over what may be known; 0 where nothing is."""
    shares = [gains[known] / most for known, most in possible.items() if most > 0]
    return float(np.mean(shares)) if shares else 0.0


def best_round(gains: Mapping[int, Mapping[str, float]], possible: Mapping[str, float]) -> int:
    """Return after how many rounds the share was largest, the last of several."""
    return max(gains, key=lambda rounds: (share_of_possible(gains[rounds], possible), rounds))
