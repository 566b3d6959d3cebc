"""Environments side by side that hand over together what their last decisions have measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from rlquant_agents.search.session import Session
from rlquant_envs import LayerwiseQuantization


class EvaluatedTogether(DummyVecEnv):
    """Layerwise environments, whose episodes all end at the same step.

    Args:
        makers: make an environment each, all on one session.
        session: evaluates.
    """

    def __init__(
        self, makers: Sequence[Callable[[], gymnasium.Env[Any, Any]]], session: Session
    ) -> None:
        super().__init__(list(makers))
        self._session = session

    def step_wait(self) -> VecEnvStepReturn:
        """Step all of them."""
        if self._session.has_workers:
            completed = [
                base.completed_by(action)
                for environment, action in zip(self.envs, self.actions, strict=True)
                if isinstance(base := environment.unwrapped, LayerwiseQuantization)
            ]
            self._session.prefetch([row for row in completed if row is not None])
        return super().step_wait()
