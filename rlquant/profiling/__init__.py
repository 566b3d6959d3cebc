"""How long a network takes on this machine, layer by layer: the tables of latency budgets."""
