"""Rounding that minimises the error of a layer's outputs: GPTQ, AdaRound, reinforcement."""
