"""Reinforcement learning for which point a weight goes to: the future work of Polino et al."""
