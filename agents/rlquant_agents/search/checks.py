"""Input validation of searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlquant import Problem, Reward
from rlquant.errors import SettingsError, whole_number
from rlquant.problem.protocol import racing_of
from rlquant.score import log_loss_reward, loss_reward

LARGEST_SEED = 2**32 - 1
"""NumPy's global generator, which Stable-Baselines3 seeds, takes no larger one."""


def whole_evaluations(value: Any) -> int:
    """Return a number of evaluations; `SettingsError` below 1."""
    return whole_number("evaluations", value, 1)


def whole_seed(value: Any) -> int:
    """Return a seed; `SettingsError` outside 0..2**32-1."""
    return whole_number("seed", value, 0, LARGEST_SEED)


def require_raceable(problem: Problem, reward: str | Reward) -> None:
    """Raise `SettingsError` where the problem races and the reward is not one of its loss."""
    by_loss = reward in ("log_loss", log_loss_reward, "loss", loss_reward)
    if racing_of(problem) is not None and not by_loss:
        raise SettingsError(
            f"reward={reward!r}: racing gives up what has the larger loss, which may be what this "
            f"reward looks for; use reward='log_loss' or 'loss', or a problem without racing"
        )


def require_settings(settings: Any) -> dict[str, Any]:
    """Return a searcher's settings by name; `SettingsError` for what is no mapping."""
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise SettingsError(f"settings={settings!r}, use a mapping of names to values")
    return dict(settings)
