"""Objectives and problems that users bring along."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rlquant
from problems import problem
from rlquant.errors import (
    SettingsError,
)
from rlquant.objective import Classification
from small_networks import (
    Mlp,
    fresh,
)

# --- objectives of users


class Wrapped(nn.Module):
    """The small network with its outputs in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = fresh(Mlp)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"logits": self.inner(inputs)}


def of_logits(outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    return Classification()(outputs["logits"], targets)


def test_a_function_takes_the_logits_out_of_what_a_network_returns() -> None:
    plain = problem()
    same = plain.evaluate(plain.feasible.config([1, 1, 1]))
    for objective in (None, of_logits):
        made = problem(network=Wrapped(), objective=objective)
        config = made.feasible.config([1, 1, 1])
        assert made.evaluate(config).loss == same.loss
        assert made.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    "found", [torch.zeros(()), (torch.zeros(()),), (torch.zeros(3), torch.zeros(())), None]
)
def test_an_objective_that_gives_no_two_sums_is_refused(found: Any) -> None:
    with pytest.raises(SettingsError, match=r"objective '.*<lambda>' gave .*; it must give the ba"):
        problem(objective=lambda outputs, targets: found)


def test_sums_may_be_plain_numbers() -> None:
    score = problem(objective=lambda outputs, targets: (2.0 * len(outputs), 0)).float_score
    assert (score.loss, score.accuracy) == (2.0, 0.0)


def test_a_metric_that_is_nan_is_refused() -> None:
    with pytest.raises(SettingsError, match="gives a metric that is NaN on validation_data; give"):
        problem(objective=lambda outputs, targets: (outputs.square().sum(), math.nan))


# --- problems of users


def test_all_that_an_own_problem_is_made_of_is_exported() -> None:
    class Table:
        layers = (rlquant.LayerFacts("only", "linear", (2, 3), 6, 6),)
        space = rlquant.SearchSpace(bits=(2, 4))
        seed = 0
        fidelity: rlquant.Fidelity = "calibrated"
        fingerprint = "table"
        float_score = rlquant.Score(
            loss=1.0, accuracy=0.5, size_bytes=24, average_bits=32, size_ratio=1, bops=6144
        )

        def __init__(self, budget: rlquant.Budget) -> None:
            cost: rlquant.Cost = rlquant.BopsCost()
            self.budget = budget
            options = self.space.options(self.fidelity)
            self.feasible = rlquant.FeasibleSet(self.layers, options, cost, budget)

        def evaluate(self, config: rlquant.QuantizationConfig) -> rlquant.Score:
            return dataclasses.replace(self.float_score, loss=8 / config["only"].bits)

        def evaluate_many(
            self, configs: Iterable[rlquant.QuantizationConfig]
        ) -> list[rlquant.Score]:
            return [self.evaluate(config) for config in configs]

        def with_budget(self, budget: rlquant.Budget) -> Table:
            return Table(budget)

    made: rlquant.Problem = Table(rlquant.Budget.bops(600))
    assert made.feasible.count() == 1
    assert made.evaluate(made.feasible.config([0])).loss == 4.0
