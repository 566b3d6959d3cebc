"""Model-based rollouts: simulated episodes that end in the surrogate's prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from rlquant.cost.feasible import Indices
from rlquant_agents.searchers.dyna_ppo.option_features import MOST, Features, Mask, OptionFeatures

Floats = npt.NDArray[np.float64]
Rewards = Callable[[Indices, Floats], Floats]
"""Rewards of configurations, shape `(n,)`, from rows of options and the limits they keep."""
Limits = Callable[[int], Floats]
"""Draws so many limits, in units."""


class BatchedEnv(VecEnv):
    """A vector of environments without separate ones: what Stable-Baselines3 asks of any vector."""

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Return what a method gives in each environment."""
        return list(getattr(self, method_name)(*args, **kwargs))

    def has_attr(self, attr_name: str) -> bool:
        """Return whether the environments have an attribute."""
        return hasattr(self, attr_name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of each environment."""
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of all environments."""
        setattr(self, attr_name, value)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False] * self.num_envs

    def close(self) -> None:
        """Let go of nothing: there is nothing to let go of."""


class SimulatedEpisodes(BatchedEnv):
    """Episodes over one problem side by side, one layer a step; the action is the option's number.

    No mask lets anything break the limit. All episodes are equally long, so all end together.

    Args:
        features: what is seen.
        count: episodes at once.
        limits: draws their limits when they begin.
        rewards: gives the rewards at their ends.
        shaping: whether decisions are paid at once, by what they lose of the knapsack that is left.
    """

    def __init__(
        self,
        features: OptionFeatures,
        count: int,
        limits: Limits,
        rewards: Rewards,
        *,
        shaping: bool = False,
    ) -> None:
        self.features, self.limits, self.rewards = features, limits, rewards
        self._shaping = shaping
        self.finished: list[tuple[Indices, Floats]] = []
        space = Box(0.0, MOST, shape=(features.size,), dtype=np.float32)
        super().__init__(count, space, Discrete(features.padded))
        self._begin()

    def _begin(self) -> None:
        self._layer = 0
        self._limits = self.limits(self.num_envs)
        self._spent = np.full(self.num_envs, float(self.features.feasible.cost.fixed))
        self._chosen = np.zeros((self.num_envs, self.features.layers), dtype=np.int64)
        self._increase = np.zeros(self.num_envs)

    def reset(self) -> Features:
        """Begin new episodes."""
        self._begin()
        return self._observe()

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the options for the layer to decide, shape `(count,)`."""
        self._actions = np.asarray(actions, dtype=np.int64).reshape(-1)

    def step_wait(self) -> VecEnvStepReturn:
        """Decide the layer; after the last one, reward and begin again."""
        before = self._potential()
        self._chosen[:, self._layer] = self._actions
        self._spent += self.features.costs[self._layer].take(self._actions)
        self._increase += self.features.log_loss_increase(self._layer).take(self._actions)
        self._layer += 1
        rewards = self._potential() - before
        ended = np.full(self.num_envs, self._layer == self.features.layers)
        if ended[0]:
            rewards = rewards + self.rewards(self._chosen, self._limits)
            self.finished.append((self._chosen, self._limits))
            self._begin()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return self._observe(), rewards.astype(np.float32), ended, infos

    def _potential(self) -> Floats:
        """Return what shapes rewards: minus the increase so far and to come; 0 at the end."""
        if not self._shaping or self._layer == self.features.layers:
            return np.zeros(self.num_envs)
        to_come = self.features.value_to_go(self._layer, self._spent, self._limits)
        return -(self._increase + to_come)

    def action_masks(self) -> Mask:
        """Return which options fit, shape `(count, padded)`."""
        return self.features.fits(self._layer, self._spent, self._limits)

    def _observe(self) -> Features:
        return self.features.observe(self._layer, self._spent, self._limits)
