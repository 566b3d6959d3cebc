"""Costs as whole numbers: sizes, latencies, budgets and the configurations that keep them."""
