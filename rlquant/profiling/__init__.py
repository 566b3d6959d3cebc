"""Latency profiling on this machine, layer by layer: the tables of latency budgets."""
