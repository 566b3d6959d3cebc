"""Stable-Baselines3's PPO decides which point each weight of a small layer goes to."""

import sys

import gymnasium
from stable_baselines3 import PPO

name = "rlquant_envs:rlquant/PointAssignment-v0"
env = gymnasium.make(name, task="digits/mlp", layer="classifier", bits=2, one_at_a_time=True)
weights = env.unwrapped.problem.count
agent = PPO("MlpPolicy", env, n_steps=2 * weights, batch_size=64, gamma=0.5, seed=0, device="cpu")
agent.learn(int(sys.argv[1]) if len(sys.argv) > 1 else 30 * weights)

observation, _ = env.reset()
done = False
while not done:
    action, _ = agent.predict(observation, deterministic=True)
    observation, reward, done, _, info = env.step(int(action))
share = 1 - info["improvement"]
print(f"{weights} weights, error of the outputs over nearest rounding's: {share:.3f}")  # noqa: T201
