"""A masked PPO agent over `OptionFeatures`, trained on model-based rollouts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from rlquant.cost.feasible import Indices
from rlquant_agents.searchers.dyna_ppo.option_features import OptionFeatures
from rlquant_agents.searchers.dyna_ppo.option_policy import OptionPolicy

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """PPO's settings (Schulman et al. 2017) for simulated episodes.

    Attributes:
        learning_rate: Adam's.
        epochs: passes over the episodes of an update.
        minibatches: parts that a pass is cut into.
        entropy: weight of the entropy bonus.
        clip: PPO's clip range.
        gae_lambda: of the generalised advantage estimate; nothing is discounted.
        hidden: width of the policy's hidden layers.
    """

    learning_rate: float = 1e-3
    epochs: int = 3
    minibatches: int = 2
    entropy: float = 0.01
    clip: float = 0.2
    gae_lambda: float = 0.95
    hidden: int = 64


def make_agent(environments: VecEnv, layers: int, seed: int, settings: PPOSettings) -> MaskablePPO:
    """Return a new agent; a rollout is one episode of `layers` steps in each environment."""
    steps = layers * environments.num_envs
    batch = max(2, -(-steps // settings.minibatches))
    while steps % batch == 1 and batch < steps:  # of a single step no advantage can be normalised
        batch += 1
    return MaskablePPO(
        OptionPolicy,
        environments,
        seed=seed,
        learning_rate=settings.learning_rate,
        n_steps=layers,
        batch_size=batch,
        normalize_advantage=steps > 1,
        n_epochs=settings.epochs,
        gamma=1.0,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip,
        ent_coef=settings.entropy,
        policy_kwargs={"hidden": settings.hidden},
        device="cpu",  # a small policy is slower anywhere else
    )


def train(model: MaskablePPO) -> None:
    """Play one rollout and learn from it."""
    model.learn(model.n_steps * model.n_envs, reset_num_timesteps=False)


def answers(model: MaskablePPO, features: OptionFeatures, limits: Floats, greedy: bool) -> Indices:
    """Return one configuration of an agent for each limit; see `answers_of`."""
    return answers_of(model.policy, features, limits, greedy)


def answers_of(
    policy: MaskableActorCriticPolicy, features: OptionFeatures, limits: Floats, greedy: bool
) -> Indices:
    """Return one configuration of a policy for each limit, shape `(n, layers)`.

    Args:
        policy: an `OptionPolicy` for as many options as the features have room for.
        features: of the problem, with what is known of its effects.
        limits: units, shape `(n,)`.
        greedy: whether the likeliest options are taken, or drawn.
    """
    spent = np.full(len(limits), float(features.feasible.cost.fixed))
    chosen = np.zeros((len(limits), features.layers), dtype=np.int64)
    for layer in range(features.layers):
        masks = features.fits(layer, spent, limits)
        seen = torch.as_tensor(features.observe(layer, spent, limits))
        with torch.no_grad():
            taken = policy(seen, deterministic=greedy, action_masks=masks)[0].numpy()
        chosen[:, layer] = taken
        spent += features.costs[layer].take(taken)
    return chosen
