"""A policy over all layers of a network at once, learned on landscapes of other networks."""
