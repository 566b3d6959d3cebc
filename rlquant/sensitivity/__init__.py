"""Sensitivities without evaluations: expected loss increases of options, from gradients."""
