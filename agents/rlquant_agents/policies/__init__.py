"""Agents that are trained on several problems, saved and loaded."""
