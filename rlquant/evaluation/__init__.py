"""Measuring configurations: evaluator, weight bank and store."""
