"""Benchmark of OptunaHub: mixed-precision quantization of real networks, every loss measured."""

from __future__ import annotations

from typing import Any

import optuna
import optunahub

import rlquant
from rlquant import Budget, LayerChoice, QuantizationConfig, Score, TabularProblem


class Problem(optunahub.benchmarks.BaseProblem):
    """The loss of a network whose layers are quantized as a trial says, out of a complete table.

    Args:
        table: one of `available_tables`.
        average_bits: the budget, a constraint of every trial: bits of a weight on average, scales
            included. None for no constraint and two objectives, loss and average bits.
    """

    available_tables = rlquant.table_names()

    def __init__(self, table: str = "digits-cnn", average_bits: float | None = 2.6) -> None:
        self.table = rlquant.load_table(table)
        self.average_bits = average_bits
        limit = 32.0 if average_bits is None else average_bits  # 32: nothing is over it
        self.problem = TabularProblem(self.table, Budget.average_bits(limit))
        self._options = {_words(one): i for i, one in enumerate(self.problem.feasible.options)}
        choices = optuna.distributions.CategoricalDistribution(tuple(self._options))
        self._space = dict.fromkeys(self.table.groups, choices)

    @property
    def search_space(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """An option in words for each group of layers, e.g. "3 bits, post_training, clipped"."""
        return dict(self._space)

    @property
    def directions(self) -> list[optuna.study.StudyDirection]:
        """Loss is minimized, and average bits, where they are no constraint."""
        return [optuna.study.StudyDirection.MINIMIZE] * (2 if self.average_bits is None else 1)

    def evaluate(self, params: dict[str, Any]) -> float | tuple[float, float]:
        """Return the loss on validation samples, and the average bits where there is no budget."""
        score = self._score(params)
        return score.loss if self.average_bits is not None else (score.loss, score.average_bits)

    def evaluate_constraints(self, params: dict[str, Any]) -> dict[str, float]:
        """Return by how many bits of a weight the budget is passed: 0 or less is within it."""
        if self.average_bits is None:
            return {}
        return {"average_bits": self._score(params).average_bits - self.average_bits}

    def optimum(self) -> tuple[dict[str, str], float]:
        """Return the best parameters within the budget and their loss, to compute regrets by."""
        config, score = self.problem.optimum()
        return self.params_of(config), score.loss

    def params_of(self, config: QuantizationConfig) -> dict[str, str]:
        """Return a configuration as parameters."""
        words = list(self._options)
        indices = self.problem.indices(config)
        return {group: words[index] for group, index in zip(self._space, indices, strict=True)}

    def _score(self, params: dict[str, Any]) -> Score:
        return self.problem.evaluate_indices([self._options[params[g]] for g in self._space])


def _words(option: LayerChoice) -> str:
    words = [f"{option.bits} bits", option.method, option.points, option.rounding]
    return ", ".join(word for word in words if word != "nearest")
