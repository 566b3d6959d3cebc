"""The likeliest configuration of a policy, which its samples scatter around."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from rlquant_envs.action_table import Action
from rlquant_envs.observation import Observation


def answer_greedily(
    model: OnPolicyAlgorithm, env: gymnasium.Env[Observation, Action]
) -> dict[str, Any]:
    """Play one episode with the likeliest options; returns the last step's info."""
    observation, _ = env.reset()
    info: dict[str, Any] = {}
    done = False
    while not done:
        action, _ = model.predict(  # type: ignore[call-arg]
            observation,
            action_masks=env.get_wrapper_attr("action_masks")(),
            deterministic=True,
        )
        observation, _, done, _, info = env.step(np.asarray(action))
    return info


class AskGreedily(BaseCallback):
    """Asks for the likeliest configuration before every rollout: what is known costs nothing.

    Args:
        env: plays it.
    """

    def __init__(self, env: gymnasium.Env[Observation, Action]) -> None:
        super().__init__()
        self._env = env

    def _on_rollout_start(self) -> None:
        answer_greedily(self.model, self._env)  # type: ignore[arg-type]

    def _on_step(self) -> bool:
        return True
