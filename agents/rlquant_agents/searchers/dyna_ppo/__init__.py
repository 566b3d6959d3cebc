"""The model-based PPO agent: a surrogate of the loss, and a policy trained on its rollouts."""
