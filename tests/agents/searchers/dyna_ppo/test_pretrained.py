"""Weights of a policy on disk: those that come with the package, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium.spaces import Box, Discrete
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rlquant.errors import FileFormatError, StorageError
from rlquant_agents.searchers.dyna_ppo.agent import PPOSettings
from rlquant_agents.searchers.dyna_ppo.option_features import (
    OPTION_FEATURES,
    STATE_FEATURES,
)
from rlquant_agents.searchers.dyna_ppo.option_policy import OptionPolicy
from rlquant_agents.searchers.dyna_ppo.pretrained import (
    KEY,
    WEIGHTS,
    load_pretrained,
    read_pretrained,
    save_pretrained,
)


def policy(options: int = 4, hidden: int = PPOSettings.hidden) -> OptionPolicy:
    size = len(STATE_FEATURES) + options * len(OPTION_FEATURES)
    space = Box(0.0, 20.0, shape=(size,))
    return OptionPolicy(space, Discrete(options), lambda left: 1e-3, hidden=hidden)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "new" / "weights.safetensors"
    save_pretrained(policy(), target, {"seed": 3})
    return target


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(str(path), framework="pt") as stream:
        return dict(json.loads(stream.metadata()[KEY]))


def with_header(path: Path, header: object) -> Path:
    """Write the same weights with another header."""
    save_file(load_file(path), path, metadata={KEY: json.dumps(header)})
    return path


def changed(path: Path, **entries: object) -> Path:
    return with_header(path, {**header_of(path), **entries})


def test_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    written, read = policy(), policy()
    save_pretrained(written, tmp_path / "weights.safetensors", {})
    load_pretrained(read, tmp_path / "weights.safetensors")
    weights = read.state_dict()
    for name, value in written.state_dict().items():
        assert torch.equal(value, weights[name])


@pytest.mark.parametrize("options", [1, 7, 25])
def test_weights_fit_any_number_of_options(path: Path, options: int) -> None:
    load_pretrained(policy(options), path)


def test_the_header_says_what_the_weights_are_for(path: Path) -> None:
    header = header_of(path)
    assert header["state_features"] == list(STATE_FEATURES)
    assert header["option_features"] == list(OPTION_FEATURES)
    assert header["hidden"] == PPOSettings.hidden
    assert read_pretrained(path)[0]["made"] == {"seed": 3}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:500], "damaged, or no weights of a policy"),
        (lambda content: b"", "damaged, or no weights of a policy"),
        (lambda content: b"PK" + content, "damaged, or no weights of a policy"),
    ],
)
def test_damaged_files_are_refused(
    path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileFormatError, match=rf"weights\.safetensors: {words}"):
        load_pretrained(policy(), path)


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    with pytest.raises(FileFormatError, match=r"foreign\.safetensors: no weights of an option pol"):
        load_pretrained(policy(), foreign)


@pytest.mark.parametrize("field", ["state_features", "option_features"])
def test_other_features_are_refused(path: Path, field: str) -> None:
    words = f"other {field.replace('_', ' ')} than this version has; pretrain it again"
    with pytest.raises(FileFormatError, match=words):
        load_pretrained(policy(), changed(path, **{field: ["position"]}))


def test_another_width_is_refused(path: Path) -> None:
    with pytest.raises(
        FileFormatError, match=f"hidden={PPOSettings.hidden}, this one has hidden=8; gi"
    ):
        load_pretrained(policy(hidden=8), path)
    with pytest.raises(FileFormatError, match=r"weight' is of shape \(64, 9\)"):
        load_pretrained(policy(hidden=8), changed(path, hidden=8))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"hidden": "wide"}, "hidden is 'wide', use a whole number"),
        ({"hidden": 10**6}, "hidden is 1000000, use at least 1 and at most 2048"),
        ({"made": None}, "made is None, use an object"),
    ],
)
def test_a_header_that_is_not_whole_is_refused(
    path: Path, entry: dict[str, object], words: str
) -> None:
    with pytest.raises(FileFormatError, match=f"its header.{words}"):
        load_pretrained(policy(), changed(path, **entry))


def test_a_header_that_is_none_is_refused(path: Path) -> None:
    with pytest.raises(FileFormatError, match="damaged, or no weights of a policy"):
        load_pretrained(policy(), with_header(path, 3))
    save_file(load_file(path), path, metadata={KEY: "{"})
    with pytest.raises(FileFormatError, match="damaged, or no weights of a policy"):
        load_pretrained(policy(), path)


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    one, files = policy(), [tmp_path / f"{i}.safetensors" for i in range(3)]
    for file in files:
        save_pretrained(one, file, {"seed": 3, "command": "this"})
    assert len({file.read_bytes() for file in files}) == 1


def test_weights_that_are_not_finite_are_refused(path: Path) -> None:
    weights = load_file(path)
    weights["value_net.bias"][0] = torch.nan
    save_file(weights, path, metadata={KEY: json.dumps(header_of(path))})
    with pytest.raises(FileFormatError, match="holds NaN or infinite numbers"):
        load_pretrained(policy(), path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.safetensors: cannot be read"):
        load_pretrained(policy(), tmp_path / "none.safetensors")


def test_the_weights_of_the_package_are_small_and_load() -> None:
    assert WEIGHTS.stat().st_size < 2_000_000
    load_pretrained(policy())
    made = read_pretrained(WEIGHTS)[0]["made"]
    assert "scripts/pretrain_agent.py" in made["command"]
    assert not set(made["trained_on"]) & set(made["held_out"])
