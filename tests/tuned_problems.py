"""Small problems whose configurations are trained for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

from torch import nn

from problems import problem
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.evaluation.trained import TrainingEvaluator
from rlquant.problem.live import QuantizationProblem
from rlquant.space import SearchSpace
from rlquant.training.settings import TrainSettings
from small_networks import trained

QUICK = TrainSettings(steps=8, batch_size=16)
MISSION = SearchSpace(
    bits=(2, 3, 4, 5, 6, 7, 8),
    rounding=("nearest", "stochastic"),
    method=("post_training", "ternary", "distilled"),
    points=("symmetric", "clipped", "fixed_point", "affine", "quantile", "kmeans", "learned"),
)


def tuned(name: str = "mlp", network: nn.Module | None = None, **other: Any) -> QuantizationProblem:
    """A small problem with a very short training of every configuration."""
    given = {"fidelity": "tuned", "training": QUICK, "space": MISSION, **other}
    return problem(name, network, **given)


@cache
def shared(name: str) -> QuantizationProblem:
    """One such problem of a trained network, for many questions."""
    return tuned(name, trained(name), seed=5)


@contextmanager
def counting_trainings() -> Iterator[mock.Mock]:
    """Count the trainings that are really made, in any problem."""
    real = TrainingEvaluator.measure
    with mock.patch.object(TrainingEvaluator, "measure", autospec=True, side_effect=real) as made:
        yield made


def mixed_mlp() -> QuantizationConfig:
    """Three methods in one network."""
    return QuantizationConfig(
        (
            LayerChoice("first", 2, method="ternary"),
            LayerChoice("second", 3, "stochastic", method="distilled", points="learned"),
            LayerChoice("last", 4, points="kmeans"),
        )
    )
