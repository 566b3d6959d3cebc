from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rlquant.errors import DataError, SettingsError, UnknownNameError
from rlquant.tasks import FloatTrainSettings, load, names, register_network, registry
from rlquant.tasks.registry import default_settings, load_data
from rlquant.tasks.task import InputShape
from rlquant.training.augmentation import CropAndFlip

TINY = FloatTrainSettings(epochs=1)


def refuse_training(*args: object) -> None:
    raise AssertionError("trained again")


def test_every_data_set_goes_with_every_network() -> None:
    trained = [name for name in names() if name not in registry.PRETRAINED]
    assert len(trained) == len(set(names()) - {*registry.PRETRAINED}) == 5 * len(registry.NETWORKS)
    assert "digits/mlp" in names()
    assert "cifar100/resnet56" in names()


def test_data_sets_have_settings_of_their_own() -> None:
    assert default_settings("fashion-mnist", "cnn").learning_rate == 0.2
    assert default_settings("cifar10", "resnet20").augmentation == CropAndFlip()


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the registries, so that a test may add to them."""
    monkeypatch.setattr(registry, "NETWORKS", networks := dict(registry.NETWORKS))
    monkeypatch.setattr("rlquant.tasks.networks.NETWORKS", networks)
    monkeypatch.setattr(registry, "LARGEST_RATES", {})


def linear(shape: InputShape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))


@pytest.mark.usefixtures("registries")
def test_a_network_of_ones_own_makes_tasks_with_every_data_set(tmp_path: Path) -> None:
    register_network("linear", linear, largest_rate=0.05)
    assert {"digits/linear", "cifar100/linear"} < set(names())
    assert default_settings("fashion-mnist", "linear").learning_rate == 0.05
    task = load("digits/linear", cache=tmp_path, settings=TINY)
    assert task.network(task.validation[0]).shape == (len(task.validation[1]), 10)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("name", "build", "rate", "words"),
    [
        ("mlp", linear, None, "name='mlp', use a name without '/' that is none of mlp"),
        ("my/mlp", linear, None, "name='my/mlp', use a name"),
        ("", linear, None, "name='', use a name"),
        ("mine", 3, None, "build=3, use a function of input shape and classes"),
        ("mine", linear, 0.0, "largest_rate=0.0 must be a finite number greater than 0"),
    ],
)
def test_an_impossible_registration_is_refused(
    name: Any, build: Any, rate: Any, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        register_network(name, build, largest_rate=rate)
    assert "mine" not in registry.NETWORKS


def test_mnist_and_cifar_are_loaded_from_the_folder_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path))
    for name, file in (
        ("mnist", "train-images-idx3-ubyte"),
        ("cifar10", "cifar-10-binary.tar"),
        ("cifar100", "cifar-100-binary.tar"),
    ):
        with pytest.raises(DataError, match=rf"{file}\.gz is missing"):
            load_data(name)


@pytest.mark.parametrize(
    "network",
    [
        *("mlp", "cnn", "resnet8"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet14", "resnet8-wide")),
    ],
)
def test_digits_networks_are_accurate(network: str, tmp_path: Path) -> None:
    task = load(f"digits/{network}", cache=tmp_path)
    inputs, targets = task.validation
    assert (task.network(inputs).argmax(dim=1) == targets).float().mean() >= 0.95


def test_the_second_load_does_not_train_and_is_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load("digits/resnet8", cache=tmp_path, settings=TINY)
    monkeypatch.setattr(registry, "train_float", refuse_training)
    second = load("digits/resnet8", cache=tmp_path, settings=TINY)
    assert first.name == second.name == "digits/resnet8"
    assert torch.equal(first.network(first.test[0]), second.network(first.test[0]))
    for task in (first, second):
        assert not any(module.training for module in task.network.modules())
        for parameter in task.network.parameters():
            assert parameter.requires_grad
            assert parameter.stride() == torch.empty(parameter.shape).stride()
    with pytest.raises(AssertionError, match="trained again"):
        load("digits/resnet8", cache=tmp_path, settings=FloatTrainSettings(epochs=2))


def test_the_cache_holds_one_file_a_network_with_its_name(tmp_path: Path) -> None:
    load("digits/mlp", cache=tmp_path, settings=TINY)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.name.startswith("digits-mlp-")
    assert file.suffix == ".safetensors"


def test_a_damaged_file_is_trained_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = load("digits/mlp", cache=tmp_path, settings=TINY)
    (file,) = (tmp_path / "networks").iterdir()
    file.write_bytes(b"damaged")
    second = load("digits/mlp", cache=tmp_path, settings=TINY)
    assert "is damaged" in caplog.text
    assert torch.equal(first.network(first.test[0]), second.network(first.test[0]))
    assert len(file.read_bytes()) > 1000


def test_loading_works_without_a_cache_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        task = load("digits/mlp", cache=tmp_path / "file", settings=TINY)
    assert task.network(task.test[0]).shape == (400, 10)
    assert len(caplog.records) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_task_lies_on_its_device(tmp_path: Path) -> None:
    task = load("digits/cnn", device="cuda", cache=tmp_path, settings=TINY)
    assert task.network(task.test[0]).is_cuda
    assert task.train[1].is_cuda


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits/resnet", "unknown task 'digits/resnet'; did you mean 'digits/resnet"),
        ("digit/mlp", "did you mean 'digits/mlp'"),
        ("fashion-mnist", "unknown task 'fashion-mnist'; did you mean 'fashion-mnist/"),
        ("?", r"unknown task '\?'; use <data set>/<network>: data sets digits, .*; networks mlp, "),
    ],
)
def test_an_unknown_task_suggests_the_near_name(name: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        load(name)


def test_pretrained_networks_are_not_trained() -> None:
    with pytest.raises(SettingsError, match="settings: 'smollm2-135m' is pretrained"):
        load("smollm2-135m", settings=TINY)


def test_an_unknown_data_set_suggests_the_near_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown data set 'digit'; did you mean 'digits'"):
        load_data("digit")
