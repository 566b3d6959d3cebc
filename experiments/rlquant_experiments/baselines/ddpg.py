"""HAQ: deep deterministic policy gradient, one continuous action a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.utils import polyak_update, set_random_seed
from stable_baselines3.td3.policies import TD3Policy
from torch.nn import functional

from rlquant.ambient import seeded
from rlquant_agents.search.searcher import Searcher
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.optuna.cost_ranks import Numbers
from rlquant_envs.observation import FEATURES, Observation
from rlquant_experiments.baselines.layer_walk import LayerWalk, Policy


@dataclass(frozen=True, kw_only=True)
class DDPG(Searcher):
    """HAQ (Wang et al. 2019): an action in [0, 1] a layer is a rank among its options by cost.

    What does not fit the budget is repaired, and the agent learns from what was executed. The
    reward of the whole network is that of each of its steps, nothing is discounted, and a moving
    average is taken off the rewards. Actor, critic and memory are Stable-Baselines3's for DDPG.

    As published, but for what suits a hundred episodes better than six hundred: the noise falls to
    `last_noise` over the evaluations there are; a known configuration teaches nothing again and
    doubles the noise; the actor learns ten times as fast. The networks are narrower (the paper's
    width is 300), which makes them several times as fast.

    Attributes:
        warm_up: episodes of random actions, before anything is learned.
        noise: standard deviation of the first actions after them, truncated to [0, 1].
        last_noise: of the last ones.
        updates: gradient steps for each layer of an episode.
        actor_rate: learning rate of the actor's Adam.
        critic_rate: of the critic's.
        batch: transitions in a gradient step.
        memory: episodes that are remembered.
        target_rate: share by which the target networks follow, each gradient step.
        baseline_rate: share by which the moving average of rewards follows.
        hidden: width of the two hidden layers.
    """

    name: ClassVar[str] = "ddpg"

    warm_up: int = 20
    noise: float = 0.5
    last_noise: float = 0.05
    updates: int = 1
    actor_rate: float = 1e-3
    critic_rate: float = 1e-3
    batch: int = 64
    memory: int = 128
    target_rate: float = 0.01
    baseline_rate: float = 0.5
    hidden: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "updates", "batch", "memory", "hidden")
        self.require_whole(0, "warm_up")
        self.require_number("noise", "last_noise", "actor_rate", "critic_rate", above=0.0)
        self.require_number("target_rate", "baseline_rate", above=0.0, most=1.0)

    def explore(self, session: Session, seed: int) -> None:
        """Let the agent act and learn until the evaluations are spent."""
        with seeded(seed):
            set_random_seed(seed)
            generator = np.random.default_rng(seed)
            walk, agent = LayerWalk(session), Agent(self, len(session.feasible))
            repeats = 0
            while True:
                asked = len(session.history)
                warm = asked < self.warm_up
                noise = self._noise_after(asked, session.evaluations, repeats)
                policy = agent.noisy(noise, generator) if not warm else uniform(generator)
                actions, wanted = walk.act(policy)
                indices = session.feasible.repair(wanted)
                evaluation = session.ask_indices(indices.tolist())
                if len(session.history) == asked:
                    repeats += 1
                    continue
                repeats = 0
                executed = np.where(indices == wanted, actions, walk.actions_of(indices))
                agent.remember(walk.seen(indices), executed, evaluation.value)
                if not warm:
                    agent.learn(self.updates * len(indices))

    def _noise_after(self, asked: int, evaluations: int, repeats: int) -> float:
        """Return the noise: it falls by the same factor each evaluation."""
        progress = (asked - self.warm_up) / max(1, evaluations - self.warm_up)
        falling = self.noise * (self.last_noise / self.noise) ** max(0.0, progress)
        return float(min(falling * 2.0 ** min(repeats, 30), max(self.noise, falling)))


def uniform(generator: np.random.Generator) -> Policy:
    """Return a policy that looks at nothing."""
    return lambda observation: float(generator.random())


def truncated_normal(mean: float, deviation: float, generator: np.random.Generator) -> float:
    """Draw from a normal distribution around a mean in [0, 1], again until it is in [0, 1]."""
    while not 0.0 <= (drawn := float(generator.normal(mean, deviation))) <= 1.0:
        pass
    return drawn


class Agent:
    """Actor and critic with their targets, and the episodes they learn from."""

    def __init__(self, settings: DDPG, layers: int) -> None:
        observation = Box(0.0, 1.0, shape=(len(FEATURES),), dtype=np.float32)
        action = Box(-1.0, 1.0, shape=(1,), dtype=np.float32)  # the actor ends in a tanh
        policy = TD3Policy(
            observation,
            action,
            lambda _: settings.critic_rate,
            [settings.hidden, settings.hidden],
            n_critics=1,
        )
        policy.actor.optimizer.param_groups[0]["lr"] = settings.actor_rate
        self.memory = ReplayBuffer(
            settings.memory * layers,
            observation,
            action,
            device="cpu",
            handle_timeout_termination=False,
        )
        self._settings, self._policy = settings, policy
        self._baseline: float | None = None
        self._followed = [
            (list(source.parameters()), list(target.parameters()))
            for source, target in (
                (policy.actor, policy.actor_target),
                (policy.critic, policy.critic_target),
            )
        ]

    def noisy(self, noise: float, generator: np.random.Generator) -> Policy:
        """Return the actor's policy with truncated normal noise."""

        def act(observation: Observation) -> float:
            with torch.no_grad():
                best = float(self._policy.actor(torch.from_numpy(observation)[None]))
            return truncated_normal((best + 1) / 2, noise, generator)

        return act

    def remember(self, seen: list[Observation], executed: Numbers, value: float) -> None:
        """Keep an episode: the reward of its end is that of every step."""
        reward, last = np.array([value]), len(executed) - 1
        for step, action in enumerate(executed):
            done = np.array([step == last])
            scaled = np.array([2 * action - 1])
            self.memory.add(seen[step], seen[step + 1], scaled, reward, done, [{}])

    def learn(self, steps: int) -> None:
        """Take gradient steps of critic and actor on transitions drawn at random."""
        policy, settings = self._policy, self._settings
        for _ in range(steps):
            past = self.memory.sample(settings.batch)
            rewards = past.rewards - self._moved_baseline(float(past.rewards.mean()))
            with torch.no_grad():
                following = policy.actor_target(past.next_observations)
                later = policy.critic_target(past.next_observations, following)[0]
                target = rewards + (1 - past.dones) * later
            predicted = policy.critic(past.observations, past.actions)[0]
            _descend(policy.critic.optimizer, functional.mse_loss(predicted, target))
            chosen = policy.actor(past.observations)
            value = policy.critic.q1_forward(past.observations, chosen)
            _descend(policy.actor.optimizer, -value.mean())
            for sources, targets in self._followed:
                polyak_update(sources, targets, settings.target_rate)

    def _moved_baseline(self, reward: float) -> float:
        before = reward if self._baseline is None else self._baseline
        self._baseline = before + self._settings.baseline_rate * (reward - before)
        return self._baseline


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
