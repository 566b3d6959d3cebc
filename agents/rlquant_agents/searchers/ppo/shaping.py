"""Potential-based shaping: each decision is paid at once for what it changes of a prediction."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from rlquant_agents.searchers.ppo.side_information import SideInformation
from rlquant_agents.surrogate.knapsack_to_go import KnapsackToGo
from rlquant_envs import LayerwiseQuantization
from rlquant_envs.action_table import Action
from rlquant_envs.observation import Observation


class ShapedByIncreases(gymnasium.Wrapper[Observation, Action, Observation, Action]):
    """Add what each decision changes of the log loss that could still be reached.

    The potential of a state is the reward that expected increases foresee of the decisions so far
    with the best of those to come; it is 0 at the end. Over an episode the sum of
    rewards changes by a constant, so that the best policy stays the best (Ng et al. 1999).

    Args:
        env: an environment on the session's problem, rewarded by the log of the loss.
        known: the session's side information.
    """

    def __init__(self, env: LayerwiseQuantization, known: SideInformation) -> None:
        super().__init__(env)
        feasible = known.session.feasible
        self._to_go = KnapsackToGo(known.increases, feasible)
        self._least = known.increases.min(axis=1)
        self._rest = [*np.cumsum(self._least[::-1])[::-1].tolist(), 0.0]
        self._float = known.session.float_score.loss + known.log_shift
        self._room, self._feasible = float(feasible.limit - feasible.smallest), feasible
        self._begin()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        found = self.env.reset(seed=seed, options=options)
        self._begin()
        return found

    def _begin(self) -> None:
        self._layer, self._increase, self._left = 0, 0.0, self._room
        self._potential = self._now()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide a layer."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        layer, option = self._layer, info["option"]
        self._increase += float(self._to_go.effects[layer, option] + self._least[layer])
        self._left -= float(self._to_go.excess[layer, option])
        self._layer += 1
        before, self._potential = self._potential, 0.0 if terminated else self._now()
        return observation, float(reward) + self._potential - before, terminated, truncated, info

    def _now(self) -> float:
        """Return the potential of the state."""
        to_come = float(self._to_go.value(self._layer, np.array([self._left]))[0])
        increase = self._increase + self._rest[self._layer] + to_come
        return -float(np.log1p(increase / self._float))
