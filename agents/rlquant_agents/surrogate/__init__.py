"""Surrogate models of the loss over configurations, and the choice of what to evaluate next."""
