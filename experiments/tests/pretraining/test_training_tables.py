"""Tables of training networks: made once, read again, and only of networks that learnt."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlquant.errors import FileFormatError, SettingsError
from rlquant.tabular.table_file import read_table, write_table
from rlquant.testing import random_table
from rlquant_experiments.pretraining import training_tables as module
from rlquant_experiments.pretraining.training_networks import TrainingNetwork
from rlquant_experiments.pretraining.training_tables import training_table, training_tables

TINY = TrainingNetwork(
    "mlp-1030", "digits", "mlp", 1030
)  # 64 configurations, made in half a second


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tables")
    training_table(TINY, target)
    return target


def test_a_table_is_made_and_read_again(folder: Path) -> None:
    (path,) = folder.iterdir()
    assert path.name == "digits-mlp-1030.rlt"
    before = path.stat().st_mtime_ns
    table = training_table(TINY, folder)
    assert path.stat().st_mtime_ns == before
    assert table.count == 64 == len(table.options) ** len(table.facts)
    assert table.float_score.accuracy > 0.8
    assert np.isfinite(table.measured.losses).all()
    assert "digits-mlp-1030, trained for" in table.task


def test_a_table_of_another_network_is_not_taken_for_it(folder: Path, tmp_path: Path) -> None:
    table = replace(read_table(folder / "digits-mlp-1030.rlt"), task="something else")
    write_table(table, tmp_path / "digits-mlp-1030.rlt")
    with pytest.raises(FileFormatError, match=r"holds 'something else', expected 'training net"):
        training_table(TINY, tmp_path)


def test_networks_that_did_not_learn_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert [table.name for table in training_tables([TINY], folder)] == ["digits-mlp-1030"]
    table = random_table(2, 3)
    hardly = replace(table, float_score=replace(table.float_score, accuracy=0.69))
    found = {"mlp-1": table, "mlp-2": hardly}
    monkeypatch.setattr(module, "training_table", lambda member, *_: found[member.name])
    asked = [TrainingNetwork(name, "digits", "mlp", 0) for name in found]
    with caplog.at_level(logging.INFO):
        assert training_tables(asked, folder) == (table,)
    assert "digits-mlp-2 is left out: accuracy 0.690" in caplog.text
    with pytest.raises(SettingsError, match="none of 1 training networks learnt"):
        training_tables(asked[1:], folder)
