"""Begin where random search begins: fit a new policy to uniformly sampled configurations.

A fresh masked policy picks early layers' options as if the budget were theirs alone, and late
layers starve. Fitting it first to configurations drawn uniformly from the feasible set costs no
evaluation and makes its first episodes as good as random search's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from rlquant import Problem
from rlquant_envs.layerwise import Action, ActionTable
from rlquant_envs.observation import Observation, Observer

Mask = npt.NDArray[np.bool_]

LEARNING_RATE = 3e-3
BATCH = 256


def imitate_random(
    model: OnPolicyAlgorithm, problem: Problem, *, samples: int, epochs: int, seed: int
) -> None:
    """Fit the policy's choices to `samples` uniformly drawn feasible configurations.

    Args:
        model: a masked agent, changed in place; its own optimizer is not touched.
        problem: only its space, budget and layers are used.
        samples: configurations to draw.
        epochs: passes over them.
        seed: decides the draws and the order.
    """
    generator = np.random.default_rng(seed)
    columns = _steps(problem, samples, generator)
    observations, actions, masks = (torch.as_tensor(np.stack(column)) for column in columns)
    optimizer = torch.optim.Adam(model.policy.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        order = torch.as_tensor(generator.permutation(len(actions)))
        for rows in torch.split(order, BATCH):
            _, log_probability, _ = model.policy.evaluate_actions(  # type: ignore[call-arg]
                observations[rows], actions[rows], action_masks=masks[rows]
            )
            optimizer.zero_grad()
            torch.autograd.backward(-log_probability.mean())
            optimizer.step()


def _steps(
    problem: Problem, samples: int, generator: np.random.Generator
) -> tuple[list[Observation], list[Action], list[Mask]]:
    """Return observations, actions and flat masks along the sampled configurations."""
    feasible, observer = problem.feasible, Observer(problem)
    table = ActionTable.of(problem.space, problem.fidelity)
    observations: list[Observation] = []
    actions: list[Action] = []
    masks: list[Mask] = []
    for _ in range(samples):
        spent, last = feasible.cost.fixed, None
        for layer, option in enumerate(feasible.sample(generator)):
            observations.append(observer.observe(layer, spent, last))
            masks.append(np.any(table.contains & feasible.allowed(layer, spent), axis=1))
            last = table.action_of[option]
            actions.append(last)
            spent += int(feasible.costs[layer, option])
    return observations, actions, masks
