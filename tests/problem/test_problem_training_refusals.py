"""What makes no problem that trains: each mistake gets one clear error, before any training."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from problems import problem
from rlquant.errors import DataError, NetworkError, RlquantError, SettingsError
from rlquant.space import SearchSpace
from rlquant.training.settings import FixedPoint, TrainSettings
from rlquant.training.trainer import Trainer
from small_networks import CLASSES, FEATURES, fresh, samples_of

DISTILLED = SearchSpace(method=("post_training", "distilled"))
TERNARY = SearchSpace(method=("post_training", "ternary"))


def refused(error: type[RlquantError], words: str, name: str = "mlp", **other: Any) -> None:
    with (
        mock.patch.object(Trainer, "train", side_effect=AssertionError("trained")),
        pytest.raises(error, match=words),
    ):
        problem(name, **{"fidelity": "tuned", **other})


@pytest.mark.parametrize(
    "given", [{"training": TrainSettings()}, {"teacher": nn.Linear(FEATURES, CLASSES)}]
)
def test_training_means_nothing_where_nothing_is_trained(given: dict[str, Any]) -> None:
    words = "training and teacher mean nothing at fidelity='calibrated'; leave them out"
    refused(SettingsError, words, fidelity="calibrated", **given)


@pytest.mark.parametrize("training", [3, {"steps": 4}, TrainSettings, "tuned"])
def test_training_is_settings(training: Any) -> None:
    refused(SettingsError, "training=.* is no TrainSettings", training=training)


def test_a_configuration_is_not_trained_in_fixed_point() -> None:
    settings = TrainSettings(optimizer="sgd", arithmetic=FixedPoint(8, 8))
    words = r"arithmetic=FixedPoint\(\.\.\.\) trains a network without a configuration; use rlq"
    refused(SettingsError, words, training=settings)


@pytest.mark.parametrize("fidelity", ["tuned", "trained"])
def test_labels_beyond_the_calibration_samples_are_looked_at(fidelity: str) -> None:
    inputs, targets = samples_of("mlp", 90, seed=1)
    targets = targets.clone()
    targets[-1] = CLASSES
    words = "labels reach from 0 to 3, the network has 3 outputs"
    refused(DataError, words, fidelity=fidelity, train_data=(inputs, targets))
    assert problem(train_data=(inputs, targets)).plan is None  # which does not look so far


def test_samples_that_are_nan_are_looked_for_as_far_as_they_are_used() -> None:
    inputs, targets = samples_of("mlp", 90, seed=1)
    inputs = inputs.clone()
    inputs[80] = torch.nan
    words = "train_data: some of its inputs are NaN"
    refused(DataError, words, train_data=(inputs, targets))
    short = TrainSettings(steps=2, batch_size=20)
    assert problem(fidelity="tuned", training=short, train_data=(inputs, targets)).plan is not None


def test_batches_of_one_before_a_batch_norm() -> None:
    settings = TrainSettings(batch_size=1)
    refused(SettingsError, "gives batches of one, of which BatchNorm", "conv", training=settings)


class Boxes(nn.Module):
    """Outputs of which none is the class scores, as a detector's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 4)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        found = self.first(inputs)
        return {"boxes": found, "scores": found[:, :1]}


def boxed(outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    return outputs["boxes"].square().sum(), torch.zeros(())


def test_what_nothing_can_be_distilled_from_is_refused_where_distillation_is_searched() -> None:
    words = "teacher needs a tensor of outputs, the network gives a dict"
    network = fresh(Boxes)
    refused(DataError, words, network=network, objective=boxed, space=DISTILLED)
    refused(DataError, words, network=network, objective=boxed)  # it is in the default space
    made = problem(fidelity="tuned", network=network, objective=boxed, space=TERNARY)
    assert made.plan is not None


def test_teachers_that_cannot_be_followed() -> None:
    other = nn.Sequential(nn.Linear(FEATURES, CLASSES + 1))
    words = r"teacher: the teacher gives outputs of shape \(2, 4\), the network \(2, 3\)"
    refused(DataError, words, teacher=other, space=DISTILLED)
    words = r"train_data: the teacher does not run on its first samples, inputs of shape \(2, "
    refused(DataError, words, teacher=nn.Linear(FEATURES + 1, CLASSES), space=DISTILLED)
    refused(NetworkError, "network is 3; give a trained", teacher=3, space=DISTILLED)
    lazy = nn.Sequential(nn.LazyLinear(CLASSES))
    refused(NetworkError, "is lazy", teacher=lazy, space=DISTILLED)
