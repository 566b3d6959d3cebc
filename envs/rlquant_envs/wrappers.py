"""Wrappers that change the action space of the environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import RecordConstructorArgs

from rlquant.errors import SettingsError
from rlquant_envs.action_table import Action
from rlquant_envs.layerwise import LayerwiseQuantization
from rlquant_envs.observation import Observation


class OneDecisionAtATime(gymnasium.Wrapper, RecordConstructorArgs):
    """Ask a layer's decisions one after the other, with exact masks: nothing is ever repaired.

    The action is `Discrete`: an option of the head whose turn it is. The observation has two parts
    more: which head is asked (one-hot) and the options taken at this layer so far, each over the
    index of its head's last option (0 where not decided yet).
    """

    def __init__(self, env: gymnasium.Env[Observation, Action]) -> None:
        RecordConstructorArgs.__init__(self)  # lets Gymnasium make the wrapped environment again
        gymnasium.Wrapper.__init__(self, env)
        base = env.unwrapped
        if not isinstance(base, LayerwiseQuantization):
            raise SettingsError(
                f"OneDecisionAtATime wraps LayerwiseQuantization, not {type(base).__name__}"
            )
        self._base = base
        self._actions = base.problem.space.actions
        self._sizes = [len(head.options) for head in base.problem.space.heads]
        self._decided: list[int] = []
        self._observed: Observation = np.zeros(0, dtype=np.float32)
        self.action_space = Discrete(max(self._sizes))
        assert base.observation_space.shape is not None
        width = base.observation_space.shape[0] + 2 * len(self._sizes)
        self.observation_space = Box(0.0, 1.0, shape=(width,), dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        self._observed, info = self.env.reset(seed=seed, options=options)
        self._decided = []
        info["action_mask"] = self.action_masks()
        return self._extended(), info

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide one head; the layer is executed once its last head is decided.

        An option that is masked gives way to the nearest allowed one.
        """
        self._base.require_running()
        allowed = np.flatnonzero(self.action_masks())
        taken = int(allowed[np.abs(allowed - int(action)).argmin()])
        repaired = taken != int(action)
        self._decided.append(taken)
        if len(self._decided) < len(self._sizes):
            between = {"repaired": repaired, "action_mask": self.action_masks()}
            return self._extended(), 0.0, False, False, between
        decided, self._decided = np.array(self._decided), []
        self._observed, reward, terminated, truncated, info = self.env.step(decided)
        info["repaired"] |= repaired
        info["action_mask"] = self.action_masks()
        return self._extended(), float(reward), terminated, truncated, info

    def sample_mask(self) -> npt.NDArray[np.int8]:
        """Return the mask as `action_space.sample(mask=...)` takes it."""
        return self.action_masks().astype(np.int8)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which options some legal, feasible choice has, given this layer's decisions."""
        head = len(self._decided)
        table = self._base.action_table
        fits = table.legal & self._base.allowed_options()[table.options]
        agrees = (self._actions[:, :head] == self._decided).all(axis=1)
        mask = np.zeros(max(self._sizes), dtype=np.bool_)
        mask[self._actions[fits & agrees, head]] = True
        return mask

    def _extended(self) -> Observation:
        heads = len(self._sizes)
        extra = np.zeros(2 * heads, dtype=np.float32)
        extra[len(self._decided)] = 1.0
        for head, option in enumerate(self._decided):
            extra[heads + head] = option / max(1, self._sizes[head] - 1)
        return np.concatenate([self._observed, extra])
