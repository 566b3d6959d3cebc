"""An agent that is not ours on the environment: Stable-Baselines3's A2C, plain Gymnasium code."""

import sys

import gymnasium
from stable_baselines3 import A2C

from rlquant import Budget


class RememberBest(gymnasium.Wrapper):
    """Keep the reward and the info of the best episode."""

    best = float("-inf"), {}

    def step(self, action):
        """Step, and compare where an episode ends."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated:
            self.best = max(self.best, (reward, info), key=lambda pair: pair[0])
        return observation, reward, terminated, truncated, info


name = "rlquant_envs:rlquant/LayerwiseQuantization-v0"
env = RememberBest(gymnasium.make(name, task="digits/mlp", budget=Budget.average_bits(3.0)))
agent = A2C("MlpPolicy", env, n_steps=24, gamma=1.0, ent_coef=0.02, seed=0, device="cpu")
agent.learn(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)

score = env.best[1]["score"]
print({c.layer: c.bits for c in env.best[1]["config"]}, score.to_json())  # noqa: T201
