"""Teach a masked policy given configurations, by likelihood.

A fresh masked policy picks early layers' options as if the budget were theirs alone, and late
layers starve. Fitting it first to configurations drawn uniformly from the feasible set costs no
evaluation and makes its first episodes as good as random search's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from rlquant import Problem
from rlquant.cost.feasible import Indices
from rlquant_envs.action_table import Action, ActionTable
from rlquant_envs.observation import Observation, Observer

Mask = npt.NDArray[np.bool_]
BATCH = 256


@dataclass(frozen=True)
class Demonstrations:
    """Steps of episodes as tensors: what was seen, done, and allowed."""

    observations: Tensor
    actions: Tensor
    masks: Tensor

    @classmethod
    def of(cls, problem: Problem, configs: Iterable[Sequence[int] | Indices]) -> Demonstrations:
        """Replay configurations (vectors of option indices) without measuring them."""
        feasible, observer = problem.feasible, Observer(problem)
        table = ActionTable.of(problem.space, problem.fidelity)
        observations: list[Observation] = []
        actions: list[Action] = []
        masks: list[Mask] = []
        for indices in configs:
            spent, last = feasible.cost.fixed, None
            for layer, option in enumerate(indices):
                observations.append(observer.observe(layer, spent, last))
                masks.append(table.mask(feasible.allowed(layer, spent)))
                last = table.action_of[option]
                actions.append(last)
                spent += int(feasible.costs[layer, option])
        columns = (observations, actions, masks)
        return cls(*(torch.as_tensor(np.stack(column)) for column in columns))

    def teach(
        self,
        model: OnPolicyAlgorithm,
        *,
        epochs: int,
        learning_rate: float,
        generator: np.random.Generator,
    ) -> None:
        """Raise the likelihood of the demonstrated actions under a masked agent's policy.

        Args:
            model: changed in place; its own optimizer is not touched.
            epochs: passes over the steps.
            learning_rate: of the Adam that is used here.
            generator: decides the order of the steps.
        """
        optimizer = torch.optim.Adam(model.policy.parameters(), lr=learning_rate)
        for _ in range(epochs):
            order = torch.as_tensor(generator.permutation(len(self.actions)))
            for rows in torch.split(order, BATCH):
                _, log_probability, _ = model.policy.evaluate_actions(  # type: ignore[call-arg]
                    self.observations[rows], self.actions[rows], action_masks=self.masks[rows]
                )
                optimizer.zero_grad()
                torch.autograd.backward(-log_probability.mean())
                optimizer.step()
