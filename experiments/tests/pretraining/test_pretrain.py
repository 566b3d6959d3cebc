"""Pretraining, tiny: it runs, is deterministic, goes on where it was, and keeps the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlquant import Table
from rlquant.errors import FileFormatError, SettingsError
from rlquant.testing import random_table
from rlquant_agents.searchers.dyna_ppo.pretrained import read_pretrained
from rlquant_experiments.pretraining import pretrain as module
from rlquant_experiments.pretraining.pretrain import (
    CHECKPOINT_FILE,
    Pretrained,
    PretrainSettings,
    pretrain,
)
from rlquant_experiments.pretraining.training_episodes import KNOWING
from rlquant_experiments.pretraining.validation import (
    Validation,
    best_round,
    held_out,
    share_of_possible,
)

TINY = PretrainSettings(guided=3, updates=2, episodes=4, environments=2, validate_every=2)
TABLES = [replace(random_table(3, 4, interaction=1.5, seed=i), name=f"table{i}") for i in range(5)]


def run(
    folder: Path, settings: PretrainSettings = TINY, tables: Sequence[Table] = TABLES, seed: int = 0
) -> Pretrained:
    return pretrain(tables, folder, settings=settings, seed=seed)


def last_weights(folder: Path) -> dict[str, Tensor]:
    found = load_file(folder / CHECKPOINT_FILE)
    return {name: value for name, value in found.items() if name.startswith("policy.")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pretrained]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder)


def test_it_trains_validates_and_writes_weights(finished: tuple[Path, Pretrained]) -> None:
    folder, found = finished
    assert (found.rounds, found.interrupted) == (5, False)
    assert list(found.gains) == [0, 2, 3, 4, 5]
    assert found.possible.keys() == found.gains[5].keys()
    assert all(found.possible[known] >= gain for known, gain in found.gains[5].items())
    made = read_pretrained(found.weights)[0]["made"]
    assert made["held_out"] == ["table4"]
    assert made["trained_on"] == ["table0", "table1", "table2", "table3"]
    assert made["rounds"] == 5
    assert any(path.name.startswith("events.") for path in folder.iterdir())


def test_the_seed_decides_everything(finished: tuple[Path, Pretrained], tmp_path: Path) -> None:
    folder, found = finished
    torch.manual_seed(123)  # what came before plays no part
    assert run(tmp_path / "same").gains == found.gains
    assert same(last_weights(tmp_path / "same"), last_weights(folder))
    run(tmp_path / "other", seed=1)
    assert not same(last_weights(tmp_path / "other"), last_weights(folder))


@pytest.mark.parametrize("rounds", [1, 4])
def test_an_interruption_changes_nothing(
    finished: tuple[Path, Pretrained],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rounds: int,
) -> None:
    """In the first stage and in the second, in the middle of a round."""
    folder, found = finished
    plain = module._Training._round

    def impatient(training: module._Training, number: int) -> None:
        plain(training, number)
        if number == rounds:
            raise KeyboardInterrupt

    monkeypatch.setattr(module._Training, "_round", impatient)
    broken = run(tmp_path)
    assert (broken.rounds, broken.interrupted) == (rounds, True)
    assert broken.weights.exists()
    monkeypatch.undo()
    again = run(tmp_path)
    assert (again.rounds, again.interrupted) == (5, False)
    assert again.gains == found.gains
    assert same(last_weights(tmp_path), last_weights(folder))


def test_a_finished_training_is_not_trained_again(
    finished: tuple[Path, Pretrained], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = finished
    monkeypatch.delattr(module._Training, "_round")
    assert run(folder).gains == found.gains


@pytest.mark.parametrize(("gains", "best"), [((3, 2, 1, 0, 0), 0), ((0, 1, 2, 2, 3), 5)])
def test_the_weights_that_validate_best_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gains: tuple[int, ...], best: int
) -> None:
    told = iter(gains)
    monkeypatch.setattr(Validation, "gains", lambda *_: dict.fromkeys(KNOWING, 0.01 * next(told)))
    found = run(tmp_path)
    assert best_round(found.gains, found.possible) == best
    kept = {f"policy.{name}": value for name, value in load_file(found.weights).items()}
    assert same(kept, last_weights(tmp_path)) == (best == 5)
    assert (kept["policy.mlp_extractor.score.weight"] == 0).all() == (best == 0)  # the knapsack


def test_another_training_is_not_gone_on_with(finished: tuple[Path, Pretrained]) -> None:
    folder, _ = finished
    with pytest.raises(FileFormatError, match="a training with other settings; give another"):
        run(folder, replace(TINY, updates=7))
    with pytest.raises(FileFormatError, match="a training with other held_out, trained_on"):
        run(folder, tables=[*TABLES[1:], TABLES[0]][:4])


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(FileFormatError, match=r"checkpoint\.safetensors: its header says"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"rounds": "-1"}, "rounds is -1, use at least 0"),
        ({"rounds": "[" * 100_000}, "more than 32 deep"),
        ({"gains": '{"x": {}}'}, "gains='x', use a whole number"),
        ({"gains": '{"1": {"a": NaN}}'}, "NaN is no number of JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_damaged_header_of_a_checkpoint_is_refused(
    finished: tuple[Path, Pretrained], tmp_path: Path, entry: dict[str, str], words: str
) -> None:
    folder, _ = finished
    with safe_open(folder / CHECKPOINT_FILE, framework="pt") as stream:
        header = stream.metadata() | entry
    save_file(load_file(folder / CHECKPOINT_FILE), tmp_path / CHECKPOINT_FILE, metadata=header)
    with pytest.raises(FileFormatError, match=words):
        run(tmp_path)


def test_a_checkpoint_of_other_tensors_is_refused(
    finished: tuple[Path, Pretrained], tmp_path: Path
) -> None:
    folder, _ = finished
    with safe_open(folder / CHECKPOINT_FILE, framework="pt") as stream:
        header = stream.metadata()
    tensors = load_file(folder / CHECKPOINT_FILE) | {"more.a": torch.zeros(1)}
    save_file(tensors, tmp_path / CHECKPOINT_FILE, metadata=header)
    with pytest.raises(FileFormatError, match=r"tensor 'more\.a' belongs to nothing"):
        run(tmp_path)


def test_foreign_weights_are_no_checkpoint(
    finished: tuple[Path, Pretrained], tmp_path: Path
) -> None:
    _, found = finished
    (tmp_path / CHECKPOINT_FILE).write_bytes(found.weights.read_bytes())
    with pytest.raises(FileFormatError, match="no checkpoint of a pretraining"):
        run(tmp_path)


def test_a_fifth_is_held_out() -> None:
    kept, held = held_out(TABLES * 3)
    assert (len(kept), len(held)) == (12, 3)
    assert held_out(TABLES[:2]) == (TABLES[:2], [])


def test_the_best_round_has_the_largest_mean_share() -> None:
    possible = {"nothing": 1.0, "sensitivities": 0.1, "neighbours": 0.0}
    gains = {
        0: {"nothing": 0.0, "sensitivities": 0.0, "neighbours": 0.0},
        5: {"nothing": 0.3, "sensitivities": -0.01, "neighbours": 0.0},
        9: {"nothing": 0.1, "sensitivities": 0.05, "neighbours": 0.0},
    }
    assert share_of_possible(gains[5], possible) == pytest.approx(0.1)
    assert best_round(gains, possible) == 9
    assert share_of_possible({}, {}) == 0.0
    assert best_round({0: {}, 3: {}}, {}) == 3


def test_without_held_out_tables_the_last_weights_are_kept(tmp_path: Path) -> None:
    found = run(tmp_path, tables=TABLES[:2])
    assert found.gains[5] == {}
    kept = {f"policy.{name}": value for name, value in load_file(found.weights).items()}
    assert same(kept, last_weights(tmp_path))


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least one table"):
        pretrain([], tmp_path)
    with pytest.raises(SettingsError, match="guided=-1"):
        PretrainSettings(guided=-1)
    with pytest.raises(SettingsError, match="episodes=0"):
        PretrainSettings(episodes=0)
    with pytest.raises(SettingsError, match="guided_rate=0"):
        PretrainSettings(guided_rate=0.0)
    with pytest.raises(SettingsError, match="use two numbers above 0"):
        PretrainSettings(guided_entropy=(0.1, 0.0))
