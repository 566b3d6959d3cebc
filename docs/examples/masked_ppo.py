"""PPO with masked actions in one file, in the manner of CleanRL: every step of it can be read here.

The environment is a table of measured configurations, so that an episode takes microseconds. One
head a decision; options that do not fit the budget have a logit of -1e8.

    python docs/examples/masked_ppo.py --budget 2.6 --total-steps 40000
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn
from torch.distributions import Categorical

from rlquant import Budget


@dataclass(frozen=True)
class Args:
    """Settings of a run.

    Attributes:
        table: of `rlquant.load_table`.
        budget: average bits of a weight.
        seed: of the networks, the actions and the minibatches.
        total_steps: decisions, over all environments.
        num_envs: environments side by side.
        num_steps: decisions of each environment between two updates.
        epochs: over what was collected.
        minibatches: of an epoch.
        learning_rate: of Adam, falling to 0.
        gae_lambda: of the advantages; rewards are not discounted, as episodes are short.
        clip: how far the ratio of probabilities may move.
        entropy: coefficient of the entropy bonus.
    """

    table: str = "digits-cnn"
    budget: float = 2.6
    seed: int = 1
    total_steps: int = 20_000
    num_envs: int = 8
    num_steps: int = 64
    epochs: int = 4
    minibatches: int = 4
    learning_rate: float = 2.5e-3
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01


class Agent(nn.Module):
    """Actor and critic; the actor's logits of all heads lie one after the other."""

    def __init__(self, observed: int, heads: list[int]) -> None:
        super().__init__()
        self.heads = heads
        self.actor = nn.Sequential(nn.Linear(observed, 64), nn.Tanh(), nn.Linear(64, sum(heads)))
        self.critic = nn.Sequential(nn.Linear(observed, 64), nn.Tanh(), nn.Linear(64, 1))

    def act(
        self, observed: Tensor, mask: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return actions `(batch, heads)`, their log probabilities, entropies and values."""
        logits = self.actor(observed).masked_fill(~mask, -1e8)
        chosen = [Categorical(logits=part) for part in logits.split(self.heads, dim=1)]
        if action is None:
            action = torch.stack([one.sample() for one in chosen], dim=1)
        of_heads = list(zip(chosen, action.T, strict=True))
        log_probability = torch.stack([one.log_prob(taken) for one, taken in of_heads]).sum(0)
        entropy = torch.stack([one.entropy() for one in chosen]).sum(0)
        return action, log_probability, entropy, self.critic(observed)[:, 0]


def main(args: Args) -> float:
    """Train, and return the loss of the best configuration that was decided on the way."""
    torch.manual_seed(args.seed)
    generator = np.random.default_rng(args.seed)

    def make() -> gymnasium.Env:
        name = "rlquant_envs:rlquant/TabularQuantization-v0"
        return gymnasium.make(name, table=args.table, budget=Budget.average_bits(args.budget))

    envs = SyncVectorEnv([make] * args.num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    heads = envs.single_action_space.nvec.tolist()
    agent = Agent(envs.single_observation_space.shape[0], heads)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    observed, info = envs.reset(seed=args.seed)
    done = np.zeros(args.num_envs, dtype=bool)
    best = float("inf"), None
    updates = args.total_steps // (args.num_envs * args.num_steps)

    for update in range(updates):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - update / updates)
        steps: list[tuple[Tensor, ...]] = []
        rewards, dones = [], []
        for _ in range(args.num_steps):
            now, mask = torch.as_tensor(observed), torch.as_tensor(info["action_mask"])
            with torch.no_grad():
                action, log_probability, _, value = agent.act(now, mask)
            steps.append((now, mask, action, log_probability, value))
            dones.append(done)
            observed, reward, done, _, info = envs.step(action.numpy())
            rewards.append(reward)
            if done.any():
                final = info["final_info"]
                for score, config in zip(final["score"][done], final["config"][done], strict=True):
                    best = min(best, (score.loss, config), key=lambda pair: pair[0])

        with torch.no_grad():
            value = agent.critic(torch.as_tensor(observed))[:, 0].numpy()
        values = np.stack([step[-1].numpy() for step in steps] + [value])
        ended = np.stack([*dones, done]).astype(float)
        advantages, last = np.zeros((args.num_steps, args.num_envs)), 0.0
        for t in reversed(range(args.num_steps)):
            goes_on = 1.0 - ended[t + 1]
            delta = rewards[t] + values[t + 1] * goes_on - values[t]
            advantages[t] = last = delta + args.gae_lambda * goes_on * last

        seen, masks, actions, old, _ = (torch.cat(parts) for parts in zip(*steps, strict=True))
        gains = torch.as_tensor(advantages, dtype=torch.float32).flatten()
        returns = gains + torch.as_tensor(values[:-1], dtype=torch.float32).flatten()
        for _ in range(args.epochs):
            for part in np.array_split(generator.permutation(len(seen)), args.minibatches):
                _, new, entropy, value = agent.act(seen[part], masks[part], actions[part])
                ratio = (new - old[part]).exp()
                gain = gains[part]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                policy_loss = -torch.min(gain * ratio, gain * clipped).mean()
                value_loss = 0.5 * (value - returns[part]).square().mean()
                loss = policy_loss + 0.5 * value_loss - args.entropy * entropy.mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()

    assert best[1] is not None, "total_steps is too small for one episode"
    print({choice.layer: choice.bits for choice in best[1]}, f"loss {best[0]:.4f}")  # noqa: T201
    return best[0]


if __name__ == "__main__":
    main(tyro.cli(Args))
