"""What only a loader can get wrong, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import rlquant
from rlquant.config import QuantizationConfig
from rlquant.errors import DataError, SettingsError
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.batches import make_batches
from rlquant.training.settings import TrainSettings
from small_networks import samples, samples_of
from training_runs import SHORT, train

CPU = torch.device("cpu")
GOOD = samples_of("mlp", 64, seed=1)


def loader(pair: tuple[Tensor, Tensor], size: int = 16, **other: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*pair), batch_size=size, **other)


def test_a_wrong_label_deep_in_a_loader_is_named_when_it_comes() -> None:
    targets = GOOD[1].clone()
    targets[50] = 9
    with pytest.raises(DataError, match=r"labels reach from 0 to 9, the network has 3 outputs"):
        train("mlp", train_data=loader((GOOD[0], targets)))


def test_a_last_batch_of_one_is_left_out() -> None:
    batches = make_batches(loader(samples(33)), SHORT, 0, CPU)
    assert [len(batch.targets) for batch in batches.epoch()] == [16, 16]
    alone = make_batches(loader(samples(3), size=1), SHORT, 0, CPU)
    assert [len(batch.targets) for batch in alone.epoch()] == [1, 1, 1]


def test_the_loader_decides_the_size_of_batches() -> None:
    pair = samples_of("conv", 64, seed=1)
    _, outcome = train("conv", train_data=loader(pair), settings=replace(SHORT, batch_size=1))
    assert outcome.steps == SHORT.steps


def test_batches_of_a_loader_are_augmented() -> None:
    settings = TrainSettings(augmentation=CropAndFlip(padding=2))
    images = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    pair = (images, torch.zeros(8, dtype=torch.long))
    seen = [
        next(iter(make_batches(loader(pair, 8), settings, seed, CPU).epoch())).inputs[0]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], images)


def test_a_shuffled_loader_is_what_training_wants(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        train("mlp", train_data=loader(GOOD, shuffle=True))
    assert caplog.messages == []


def test_inputs_of_another_shape_are_named() -> None:
    wrong = (torch.zeros(32, 5), torch.zeros(32, dtype=torch.long))
    with pytest.raises(DataError, match=r"does not run on its first samples, inputs of shape"):
        train("mlp", train_data=wrong)


@pytest.mark.parametrize("kind", ["number", "detached"])
def test_an_objective_without_gradient_is_refused(kind: str) -> None:
    def objective(outputs: Tensor, targets: Tensor) -> tuple[Any, Any]:
        loss = torch.nn.functional.cross_entropy(outputs, targets, reduction="sum")
        return (loss.item() if kind == "number" else loss.detach()), torch.tensor(0.0)

    with pytest.raises(SettingsError, match="has no gradient"):
        train("mlp", objective=objective)


def test_a_run_that_is_over_is_not_stopped() -> None:
    _, outcome = train("mlp", watch=lambda step, figures: figures["steps_left"] == 0)
    assert (outcome.steps, outcome.stopped) == (SHORT.steps, False)


def test_a_watcher_hears_the_learning_rate() -> None:
    heard: list[float] = []

    def watch(step: int, figures: Any) -> None:
        heard.append(figures["learning_rate"])

    settings = replace(SHORT, schedule="constant", learning_rate=0.125)
    train("mlp", settings=settings, watch=watch)
    assert heard == [0.125, 0.125]


def test_an_empty_configuration_trains_what_a_float_control_needs() -> None:
    settings = replace(SHORT, train_kept=True)
    network = rlquant.train(torch.nn.Linear(6, 3), QuantizationConfig(()), GOOD, settings=settings)[
        0
    ]
    assert isinstance(network, torch.nn.Linear)
