from __future__ import annotations

from pathlib import Path

import pytest
import torch
from platformdirs import user_cache_path
from safetensors.torch import save_file

from rlquant.tasks import network_cache
from rlquant.tasks.float_training import FloatTrainSettings
from rlquant.tasks.network_cache import cache_folder, restore, store, training_key
from rlquant.tasks.networks import build
from rlquant.training.augmentation import CropAndFlip


def network(seed: int = 0) -> torch.nn.Module:
    return build("cnn", (1, 8, 8), 10, seed=seed)


def test_weights_come_back_bit_for_bit_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.safetensors"
    store(network(1), path, "key")
    restored = network(2)
    assert restore(restored, path, "key")
    for name, value in network(1).state_dict().items():
        assert torch.equal(restored.state_dict()[name], value)
    assert list(path.parent.iterdir()) == [path]


def test_no_file_is_no_restoring(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not restore(network(), tmp_path / "none", "key")
    assert not caplog.records


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "noise", "key", "tensors", "nan", "bit", "no hash"]
)
def test_a_damaged_or_foreign_file_is_logged_and_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = tmp_path / "a.safetensors"
    store(network(), path, "other" if damage == "key" else "key")
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "noise":
        path.write_bytes(bytes(range(256)) * 10)
    elif damage == "tensors":
        save_file({"weight": torch.zeros(3)}, path, metadata={"key": "key"})
    elif damage == "bit":
        content = bytearray(path.read_bytes())
        content[-100] ^= 0x40
        path.write_bytes(content)
    elif damage == "no hash":
        save_file(network().state_dict(), path, metadata={"key": "key"})
    elif damage == "nan":
        broken = network()
        broken.conv1.weight.data[0] = torch.nan  # type: ignore[union-attr]
        store(broken, path, "key")
    restored = network(2)
    assert not restore(restored, path, "key")
    assert "is damaged and will be made again" in caplog.text
    assert not path.exists()
    assert torch.equal(restored.conv1.weight, network(2).conv1.weight)


def test_a_flipped_bit_of_any_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    small = torch.nn.Linear(2, 1)
    store(small, path, "key")
    whole = path.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        restored = torch.nn.Linear(2, 1)
        if restore(restored, path, "key"):
            assert torch.equal(restored.weight, small.weight)
            assert torch.equal(restored.bias, small.bias)


def test_what_is_no_file_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a").mkdir()
    assert not restore(network(), tmp_path / "a", "key")
    assert "it is a folder" in caplog.text
    assert (tmp_path / "a").is_dir()


def test_a_folder_that_cannot_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store(network(), tmp_path / "file" / "a.safetensors", "key")
    assert not restore(network(), tmp_path / "file" / "a.safetensors", "key")
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "set RLQUANT_CACHE to a folder" in caplog.text


def test_a_write_that_fails_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full_disk(source: str, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(network_cache.os, "replace", full_disk)
    store(network(), tmp_path / "a.safetensors", "key")
    assert "no space left on device" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_that_cannot_be_removed_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError("read-only")

    (tmp_path / "a").touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    assert not restore(network(), tmp_path / "a", "key")
    assert "cannot be removed: read-only" in caplog.text


def test_the_key_covers_settings_data_and_architecture() -> None:
    data = torch.zeros(4, 1, 8, 8), torch.arange(4)
    moved = data[0] + 1, data[1]
    settings = FloatTrainSettings(epochs=1)
    keys = {
        training_key(network(), data, settings),
        training_key(network(), data, FloatTrainSettings(epochs=2)),
        training_key(network(), moved, settings),
        training_key(build("mlp", (1, 8, 8), 10), data, settings),
        training_key(network(), data, FloatTrainSettings(epochs=1, augmentation=CropAndFlip())),
        training_key(network(), data, FloatTrainSettings(epochs=1, augmentation=CropAndFlip(1))),
    }
    assert len(keys) == 6
    assert training_key(network(5), data, settings) in keys


def test_networks_trained_before_there_was_augmentation_keep_their_key() -> None:
    data = torch.zeros(4, 1, 8, 8), torch.arange(4)
    mlp = build("mlp", (1, 8, 8), 10)
    assert training_key(mlp, data, FloatTrainSettings(epochs=1)) == "98b5f620796bd5fd"


def test_the_folder_is_the_argument_else_the_variable_else_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLQUANT_CACHE", str(tmp_path / "variable"))
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder() == tmp_path / "variable"
    monkeypatch.delenv("RLQUANT_CACHE")
    assert cache_folder() == user_cache_path("rlquant")
