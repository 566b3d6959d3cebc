"""Toy problems, and conformance suites for what is written outside this project."""

from rlquant.testing.random_table import random_table
from rlquant.testing.toy_network import toy_network
from rlquant.testing.toy_problem import ToyProblem

__all__ = ["ToyProblem", "random_table", "toy_network"]
