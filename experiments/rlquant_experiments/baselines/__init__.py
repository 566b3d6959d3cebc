"""Baselines kept for comparison: searchers that the experiments register beside the product's."""
