"""Lessons from complete tables: at each step of the policy's episodes, what every option loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import Tensor

from rlquant_agents.searchers.dyna_ppo.option_features import Features, Mask
from rlquant_experiments.pretraining.training_episodes import WORST, TrainingTable

Floats = npt.NDArray[np.float64]

VALUE_WEIGHT = 0.5
BATCH = 1024
NEVER = -1e8
"""Logit of an option that does not fit."""


@dataclass(frozen=True)
class Lessons:
    """Steps of episodes, as tensors.

    Attributes:
        seen: observations, shape `(n, features)`.
        masks: which options fit, shape `(n, options)`.
        lost: by how much the best that can still be reached is worse after each option, at most
            `WORST`, times the table's weight; 0 for those that do not fit; shape `(n, options)`.
        returns: what the episodes are paid, shape `(n,)`.
    """

    seen: Tensor
    masks: Tensor
    lost: Tensor
    returns: Tensor


class _Episode:
    """Episodes of one table side by side, with the guide that knows how each can still end."""

    def __init__(self, member: TrainingTable, count: int) -> None:
        self._member, self.features = member, member.features
        self._limits = member.limits(count)
        self._spent = np.full(count, float(self.features.feasible.cost.fixed))
        self._beginnings = np.zeros(count, dtype=np.int64)
        self._ahead = member.losses_ahead(self._limits)
        self._rows = np.zeros((count, self.features.layers), dtype=np.int64)

    def see(self, layer: int) -> tuple[Features, Mask, Floats]:
        """Return observations, masks and losses of the options before a layer."""
        features = self.features
        masks = features.fits(layer, self._spent, self._limits)
        here = np.take_along_axis(self._ahead[layer], self._beginnings[:, None], axis=1)
        after = self._beginnings[:, None] * features.options + np.arange(features.options)
        lost = np.zeros(masks.shape)
        best = np.take_along_axis(self._ahead[layer + 1], after, axis=1)
        own = masks[:, : features.options]
        lost[:, : features.options] = np.where(own, np.minimum(best - here, WORST), 0.0)
        seen = features.observe(layer, self._spent, self._limits)
        return seen, masks, self._member.weight * lost

    def take(self, layer: int, options: npt.NDArray[np.int64]) -> None:
        """Decide a layer; after the last one `rewards` are those of the episodes."""
        self._rows[:, layer] = options
        self._spent += self.features.costs[layer].take(options)
        self._beginnings = self._beginnings * self.features.options + options
        if layer == self.features.layers - 1:
            self.rewards = self._member.pay(self._rows, self._limits)


def play(
    policy: MaskableActorCriticPolicy, members: Sequence[TrainingTable], count: int
) -> Lessons:
    """Play episodes with the policy's own draws and return what there is to learn of them.

    Args:
        policy: plays.
        members: tables to play on, each with what is known of it.
        count: episodes of each table.
    """
    episodes = [_Episode(member, count) for member in members]
    most = max(member.features.layers for member in members)
    columns: list[list[npt.NDArray[np.generic]]] = [[], [], []]
    players: list[tuple[_Episode, ...]] = []
    for layer in range(most):
        playing = tuple(each for each in episodes if each.features.layers > layer)
        stepped = zip(*(each.see(layer) for each in playing), strict=True)
        seen, masks, lost = (np.concatenate(parts) for parts in stepped)
        with torch.no_grad():
            taken = policy(torch.as_tensor(seen), action_masks=masks)[0].numpy()
        for each, options in zip(playing, np.split(taken, len(playing)), strict=True):
            each.take(layer, options)
        for column, values in zip(columns, (seen, masks, lost), strict=True):
            column.append(values)
        players.append(playing)
    returns = np.concatenate([each.rewards for playing in players for each in playing])
    seen, masks, lost = (np.concatenate(column) for column in columns)
    return Lessons(
        torch.as_tensor(seen),
        torch.as_tensor(masks),
        torch.as_tensor(lost, dtype=torch.float32),
        torch.as_tensor(returns, dtype=torch.float32),
    )


def teach(
    policy: MaskableActorCriticPolicy, lessons: Lessons, *, passes: int, entropy: float
) -> float:
    """Make the policy lose less at each step, by what it would lose on average.

    The soft form of cost-sensitive imitation: the gradient weighs all options at once, by the
    losses that follow if the best is done afterwards. The critic learns what episodes are paid.

    Args:
        policy: changed in place, with its own optimizer.
        lessons: what it saw.
        passes: over the lessons.
        entropy: weight of the policy's entropy.

    Returns:
        What the policy loses in a step, weighted, on average over the last pass.

    Source: Ross and Bagnell 2014, "Reinforcement and imitation learning via interactive no-regret
    learning" (AggreVaTe).
    """
    lost = 0.0
    for _ in range(passes):
        lost = 0.0
        order = torch.randperm(len(lessons.seen))
        for rows in torch.split(order, BATCH):
            seen, masks = lessons.seen[rows], lessons.masks[rows]
            logits = policy.mlp_extractor.forward_actor(seen).masked_fill(~masks, NEVER)
            chances, logs = logits.softmax(dim=1), logits.log_softmax(dim=1)
            expected = (chances * lessons.lost[rows]).sum(dim=1).mean()
            values = policy.predict_values(seen).squeeze(-1)
            error = ((values - lessons.returns[rows]) ** 2).mean()
            certainty = (chances * logs).sum(dim=1).mean()  # minus the entropy
            loss = expected + entropy * certainty + VALUE_WEIGHT * error
            policy.optimizer.zero_grad()
            torch.autograd.backward(loss)
            policy.optimizer.step()
            lost += expected.item() * len(rows) / len(lessons.seen)
    return lost
