"""Searchers that are samplers of Optuna."""
