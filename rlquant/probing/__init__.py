"""Additivity of a problem: how much of the loss a sum of single-layer effects explains."""
