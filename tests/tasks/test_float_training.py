from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from rlquant.errors import SettingsError
from rlquant.tasks.digits import load_digits
from rlquant.tasks.float_training import FloatTrainSettings, train_float
from rlquant.tasks.networks import build
from rlquant.training.augmentation import CropAndFlip


def trained(name: str, settings: FloatTrainSettings) -> nn.Module:
    network = build(name, (1, 8, 8), 10, seed=settings.seed)
    train_float(network, load_digits().train, settings)
    return network


def equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_same_seed_gives_identical_weights_and_leaves_the_global_state() -> None:
    settings = FloatTrainSettings(epochs=1)
    state = torch.get_rng_state()
    first = trained("resnet8", settings)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert equal(first.state_dict(), trained("resnet8", settings).state_dict())
    other = trained("resnet8", FloatTrainSettings(epochs=1, seed=1))
    assert not equal(first.state_dict(), other.state_dict())


def test_dropout_and_augmentation_draw_from_the_seed_alone() -> None:
    def weights(**settings: object) -> dict[str, Tensor]:
        network = build("mlp", (1, 8, 8), 10)
        network.relu1 = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
        train_float(network, load_digits().train, FloatTrainSettings(epochs=1, **settings))  # type: ignore[arg-type]
        return network.state_dict()

    state = torch.get_rng_state()
    first, augmented = weights(), weights(augmentation=CropAndFlip(1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert equal(first, weights())
    assert equal(augmented, weights(augmentation=CropAndFlip(1)))
    assert not equal(first, augmented)
    assert not equal(augmented, weights(augmentation=CropAndFlip(1, flip=False)))


def test_every_batch_is_augmented_again() -> None:
    seen = []

    class Watched(CropAndFlip):
        def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
            seen.append((images.shape[0], generator.get_state()))
            return super().__call__(images, generator)

    trained("mlp", FloatTrainSettings(epochs=2, batch_size=250, augmentation=Watched(1)))
    assert [count for count, _ in seen] == [250] * 8
    assert len({bytes(state.tolist()) for _, state in seen}) == 8


def test_a_tiny_set_is_learned() -> None:
    inputs, targets = (tensor[:50] for tensor in load_digits().train)
    network = build("mlp", (1, 8, 8), 10)
    train_float(network, (inputs, targets), FloatTrainSettings(epochs=200))
    assert not network.training
    assert (network(inputs).argmax(dim=1) == targets).all()


def test_every_epoch_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rlquant"):
        trained("mlp", FloatTrainSettings(epochs=2))
    assert [record.message[:15] for record in caplog.records] == [
        "epoch 1 of 2: l",
        "epoch 2 of 2: l",
    ]
    assert "0.0 s left" in caplog.records[1].message


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epochs", 0, "epochs=0, use 1 or more"),
        ("batch_size", 0, "batch_size=0, use 1 or more"),
        ("learning_rate", 0.0, "learning_rate=0.0 must be"),
        ("weight_decay", float("nan"), "weight_decay=nan must be"),
        ("augmentation", "flip", "augmentation='flip', use a CropAndFlip or None"),
    ],
)
def test_settings_that_make_no_sense_are_refused(field: str, value: object, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        FloatTrainSettings(**{"epochs": 1, field: value})  # type: ignore[arg-type]
