"""Small problems that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn

from evaluation_values import in_values
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.evaluation.evaluator import Evaluator
from rlquant.problem.live import QuantizationProblem
from rlquant.space import SearchSpace
from small_networks import (
    NETWORKS,
    fresh,
    samples_of,
    trained,
)

ROOT = Path(__file__).parents[1]
WIDE = SearchSpace(
    bits=(1, 2, 3, 4, 8),
    rounding=("nearest", "stochastic"),
    method=("post_training", "ternary", "float", "distilled"),
    points=("symmetric", "clipped", "fixed_point", "affine", "quantile", "kmeans", "learned"),
    activation_bits=(None, 3, 8),
)


def problem(
    name: str = "mlp", network: nn.Module | None = None, **other: Any
) -> QuantizationProblem:
    """Make a small problem; `fresh` networks, so that every process makes the same one."""
    settings = {
        "train_data": samples_of(name, 40, seed=1),
        "validation_data": samples_of(name, 50, seed=2),
        "budget": Budget.average_bits(32),
        "calibration_samples": 40,
        "batch_size": 16,
        **other,
    }
    return QuantizationProblem(network or fresh(NETWORKS[name].build), **in_values(settings))


@cache
def wide_problem(name: str) -> QuantizationProblem:
    space = WIDE if name != "words" else SearchSpace(points=("symmetric", "kmeans", "affine"))
    return problem(name, trained(name), space=space, seed=5)


def bits(*widths: int, **fields: Any) -> QuantizationConfig:
    names = ("first", "second", "last")
    return QuantizationConfig(
        tuple(LayerChoice(n, b, **fields) for n, b in zip(names, widths, strict=False))
    )


@contextmanager
def counting() -> Iterator[mock.Mock]:
    """Count the measurements that are really made, in any problem."""
    with mock.patch.object(Evaluator, "measure", autospec=True, side_effect=Evaluator.measure) as m:
        yield m
