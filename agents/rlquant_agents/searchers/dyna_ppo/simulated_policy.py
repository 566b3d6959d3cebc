"""A policy that PPO trains on simulated episodes, and the configurations that it proposes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from stable_baselines3.common.logger import Logger

from rlquant import Problem
from rlquant.cost.feasible import Indices
from rlquant_agents.searchers.dyna_ppo.agent import (
    Floats,
    PPOSettings,
    answers,
    make_agent,
    train,
)
from rlquant_agents.searchers.dyna_ppo.option_features import OptionFeatures
from rlquant_agents.searchers.dyna_ppo.pretrained import load_pretrained
from rlquant_agents.searchers.dyna_ppo.rollouts import Limits, Rewards, SimulatedEpisodes
from rlquant_agents.surrogate.weight_error import Effects

MOST_DECISIONS, LEAST_EPISODES = 4096, 8
"""Decisions of an update, at most, but for so many episodes: with many layers each says more."""


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """How a policy begins, and how it is trained.

    Attributes:
        pretrained: whether it begins with the weights that come with the package.
        rollouts: updates in a round; 0 for a policy that never learns.
        environments: episodes of an update, side by side; fewer where they are long, see
            `MOST_DECISIONS`.
        shaping: see `SimulatedEpisodes`.
        ppo: PPO's own settings.
    """

    pretrained: bool
    rollouts: int
    environments: int
    shaping: bool
    ppo: PPOSettings


class SimulatedPolicy:
    """A policy over one problem, trained on rollouts.

    Attributes:
        count: episodes of a rollout.

    Args:
        problem: whose configurations it decides.
        effects: what is known of the options, see `OptionFeatures.set_effects`.
        limits: draws the limits of episodes.
        rewards: gives their rewards.
        seed: of its weights and draws.
        settings: see `PolicySettings`.
        logger: told how training goes.
    """

    def __init__(
        self,
        problem: Problem,
        effects: Effects | None,
        limits: Limits,
        rewards: Rewards,
        seed: int,
        settings: PolicySettings,
        logger: Logger,
    ) -> None:
        self._features, self._rollouts = OptionFeatures(problem), settings.rollouts
        self.show(effects)
        layers = self._features.layers
        affordable = max(LEAST_EPISODES, MOST_DECISIONS // layers)
        self.count = min(settings.environments, affordable)
        self._episodes = SimulatedEpisodes(
            self._features, self.count, limits, rewards, shaping=settings.shaping
        )
        self._model = make_agent(self._episodes, layers, seed, settings.ppo)
        if settings.pretrained:
            load_pretrained(self._model.policy)
        self._model.set_logger(logger)

    def show(self, effects: Effects | None) -> None:
        """Let it see what is known of the options' effects."""
        self._features.set_effects(effects)

    def untrained_answers(self, limits: Floats) -> Indices:
        """Return its likeliest configurations for some of the limits, then a draw for each."""
        some = limits[:: len(limits) // 4 or 1]
        return np.concatenate([self._answers(some, greedy=True), self._answers(limits)])

    def trained_answers(self, limits: Floats) -> Indices:
        """Train on rollouts; return their configurations, and the likeliest for the first limit."""
        self._episodes.finished.clear()
        self._model.set_env(self._episodes)  # new ones: those that had begun saw other effects
        for _ in range(self._rollouts):
            train(self._model)
        played = [rows for rows, _ in self._episodes.finished]
        if not played:
            played = [self._answers(limits)]
        return np.concatenate([*played, self._answers(limits[:1], greedy=True)])

    def _answers(self, limits: Floats, greedy: bool = False) -> Indices:
        return answers(self._model, self._features, limits, greedy)
