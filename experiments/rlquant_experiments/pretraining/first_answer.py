"""The pretrained agent's answer to a problem, before anything of it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete

from rlquant import Problem, QuantizationConfig
from rlquant.ambient import seeded
from rlquant.errors import SettingsError
from rlquant_agents.searchers.dyna_ppo.agent import answers_of
from rlquant_agents.searchers.dyna_ppo.option_features import MOST, OptionFeatures
from rlquant_agents.searchers.dyna_ppo.option_policy import OptionPolicy
from rlquant_agents.searchers.dyna_ppo.pretrained import (
    WEIGHTS,
    load_pretrained,
    read_pretrained,
)


def first_answer(
    problem: Problem, effects: npt.ArrayLike | None = None, path: str | Path = WEIGHTS
) -> QuantizationConfig:
    """Return the pretrained agent's likeliest configuration within the budget.

    Nothing is evaluated, and nothing random plays a part.

    Args:
        problem: with the budget to keep.
        effects: what each option at each layer alone does to the log of the loss, up to a constant
            in each layer, shape `(layers, options)`, options as in `problem.feasible.options`; by
            default the agent knows the layers' weight errors alone.
        path: weights that `scripts/pretrain_agent.py` wrote, by default those that come with the
            package.

    Raises:
        SettingsError: effects of another shape, or not finite.
        FileFormatError, StorageError: weights that cannot be used; see `load_pretrained`.
    """
    features = OptionFeatures(problem)
    if effects is not None:
        features.set_effects(_checked(effects, (features.layers, features.options)))
    limits = np.array([float(problem.feasible.limit)])
    with seeded(0):
        (row,) = answers_of(pretrained_policy(features, path), features, limits, greedy=True)
    return problem.feasible.config(row)


def pretrained_policy(features: OptionFeatures, path: str | Path = WEIGHTS) -> OptionPolicy:
    """Return a policy with the weights of a file, as wide as they are.

    Args:
        features: what it will see.
        path: as for `load_pretrained`, which also says what is raised.
    """
    header, _ = read_pretrained(path)
    policy = OptionPolicy(
        Box(0.0, MOST, shape=(features.size,)),
        Discrete(features.padded),
        lambda left: 0.0,
        hidden=header["hidden"],
    )
    load_pretrained(policy, path)
    return policy


def _checked(effects: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    found = np.asarray(effects, dtype=np.float64)
    if found.shape != shape:
        raise SettingsError(
            f"first_answer: effects of shape {found.shape}, give one for each of {shape[0]} layers "
            f"and {shape[1]} options"
        )
    if not np.isfinite(found).all():
        raise SettingsError("first_answer: effects that are not finite; give large ones instead")
    return found
