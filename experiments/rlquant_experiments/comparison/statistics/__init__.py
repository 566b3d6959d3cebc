"""Statistics of comparisons: regrets, hypervolumes, confidence intervals."""
