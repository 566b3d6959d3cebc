"""Reinforcement of an encoder: drawn corrections are decoded, and rewarded by a landscape."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rlquant.ambient import seeded
from rlquant_agents.surrogate.increase_surrogate import IncreaseSurrogate
from rlquant_experiments.landscapes.landscape import Floats, Indices, Landscape
from rlquant_experiments.layer_policy.decoding import solve_by_prices
from rlquant_experiments.layer_policy.encoder import Corrections, LayerEncoder
from rlquant_experiments.layer_policy.examples import Examples

SHIFT = 1e-6
"""Added to losses before their logs are taken."""


@dataclass(frozen=True, kw_only=True)
class ReinforcementSettings:
    """Proximal policy optimization (Schulman et al. 2017) of one-step episodes.

    An action is a draw of every correction of a network under a budget, its configuration the
    knapsack over them, and its reward minus the log of the increase that the landscape predicts.

    Attributes:
        updates: rounds.
        draws: of each example in a round; their mean reward is the baseline.
        epochs: passes over a round.
        clip: of the ratio of probabilities, of a whole action taken to the power 1 / layers.
        rate: learning rate of Adam.
    """

    updates: int = 20
    draws: int = 8
    epochs: int = 3
    clip: float = 0.2
    rate: float = 1e-3


Reward = Callable[[Indices], Floats]
"""Given configurations of a landscape, shape `(n, layers)`, their rewards, shape `(n,)`."""


def surrogate_reward(landscape: Landscape) -> Reward:
    """Return minus the log of the increase by a surrogate that is fitted to what was measured."""
    surrogate = IncreaseSurrogate(landscape.increases, landscape.names, landscape.float_loss, SHIFT)
    rows, first = np.unique(landscape.rows, axis=0, return_index=True)
    above = np.maximum(landscape.losses[first], landscape.float_loss + SHIFT)
    surrogate.fit(rows, np.log(above + SHIFT))

    def reward(asked: Indices) -> Floats:
        losses = np.exp(surrogate.predict(asked)[0]) - SHIFT
        found: Floats = -np.log(np.maximum(losses - landscape.float_loss, SHIFT))
        return found

    return reward


def reinforce(
    encoder: LayerEncoder,
    landscapes: Sequence[Landscape],
    rewards: Sequence[Reward],
    examples: Examples,
    settings: ReinforcementSettings,
    seed: int,
) -> LayerEncoder:
    """Return the encoder after so many rounds; the one that is given stays as it is.

    Args:
        encoder: to begin with.
        landscapes: that the examples are of.
        rewards: of each landscape.
        examples: what the encoder is shown.
        settings: see there.
        seed: of all draws.
    """
    learner = copy.deepcopy(encoder).train()
    optimizer = torch.optim.Adam(learner.parameters(), settings.rate)
    with seeded(seed):
        for _ in range(settings.updates):
            with torch.no_grad():
                before = learner(examples.features, examples.own)
                noise = torch.randn(settings.draws, *before.mean.shape)
                actions = before.mean + noise * before.deviation
                old = log_probability(before, actions, examples.own)
            gained = np.zeros((settings.draws, len(examples.of)))
            for number, (i, b) in enumerate(examples.of):
                rows = _decoded(landscapes[i], b, actions[:, number].double().numpy())
                gained[:, number] = rewards[i](rows)
            advantages = torch.from_numpy(_normalized(gained)).float()
            for _ in range(settings.epochs):
                now = log_probability(
                    learner(examples.features, examples.own), actions, examples.own
                )
                ratio = (now - old).exp()
                clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
                loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(learner.parameters(), 0.5)
                optimizer.step()
    return learner.eval()


def log_probability(found: Corrections, actions: Tensor, own: Tensor) -> Tensor:
    """Return log densities of actions over the number of layers, shape `(draws, n)`."""
    density = -0.5 * ((actions - found.mean) / found.deviation).square() - found.deviation.log()
    total = density.where(own, torch.zeros_like(density)).sum(dim=(2, 3))
    return total / own.any(dim=2).sum(dim=1)


def _decoded(landscape: Landscape, budget: int, corrections: Floats) -> Indices:
    layers, options = landscape.increases.shape
    effects = np.maximum(landscape.increases, 1e-12) * np.exp(corrections[:, :layers, :options])
    costs = np.where(landscape.own > 0, landscape.costs, 1e15)
    return solve_by_prices(effects, costs, landscape.limits[budget] - landscape.fixed)


def _normalized(gained: Floats) -> Floats:
    """Return rewards less the mean of their example's, over the standard deviation of all."""
    found = gained - gained.mean(axis=0)
    scaled: Floats = found / (found.std() + 1e-8)
    return scaled
