"""The tables that come with rlquant: found by name, whole, and with sensible losses."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlquant
from rlquant import Budget, TabularProblem, load_table, table_names
from rlquant.errors import SettingsError, StorageError, UnknownNameError
from rlquant.tabular import shipped
from rlquant.tabular.table_file import write_table
from rlquant.testing import random_table


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped tables with two in it, and a file that is none."""
    for name in ("small", "other"):
        write_table(random_table(2, 3), tmp_path / f"{name}.rlt")
    (tmp_path / "README.md").write_text("tables", encoding="utf-8")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    return tmp_path


def test_tables_are_found_by_name(planted: Path) -> None:
    assert table_names() == ("other", "small")
    assert load_table("small").count == 9


def test_a_path_is_read(planted: Path) -> None:
    assert load_table(planted / "other.rlt").count == 9
    assert load_table(str(planted / "other.rlt")).count == 9
    with pytest.raises(StorageError, match="cannot be read"):
        load_table(planted / "nothing.rlt")


def test_an_unknown_name_lists_the_tables(planted: Path) -> None:
    with pytest.raises(UnknownNameError, match="'smal'; did you mean 'small'\\? known: other, s"):
        load_table("smal")


@pytest.mark.parametrize("table", [None, 3, b"small"])
def test_what_is_neither_name_nor_path_is_refused(table: Any, planted: Path) -> None:
    with pytest.raises(SettingsError, match=r"give a name out of \('other', 'small'\) or a path"):
        load_table(table)


def test_without_the_folder_there_are_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "nothing")
    assert table_names() == ()


@pytest.mark.parametrize("name", table_names())
def test_a_shipped_table_has_sensible_losses(name: str) -> None:
    table = load_table(name)
    assert table.task.partition("/")[0] in {n.partition("/")[0] for n in rlquant.tasks.names()}
    assert table.command.startswith("python scripts/enumerate.py")
    losses = table.measured.losses
    assert len(losses) == len(table.measured.correct) == table.count
    assert np.isfinite(losses).mean() > 0.5
    assert losses.min() < 1.5 * table.float_score.loss
    assert table.float_score.loss > 0
    problem = TabularProblem(table, Budget.average_bits(32.0))
    assert problem.optimum()[1].loss == losses.min()
    for limit in (2.5, 3.0, 4.0):
        if problem.feasible.cost.value(problem.feasible.smallest) <= limit:
            config, score = problem.with_budget(Budget.average_bits(limit)).optimum()
            assert score.average_bits <= limit
            assert problem.evaluate(config) == score
    front = [score for _, score in problem.pareto()]
    for cheaper, more_expensive in itertools.pairwise(front):
        assert cheaper.average_bits < more_expensive.average_bits
        assert cheaper.loss > more_expensive.loss


@pytest.mark.parametrize("name", table_names())
def test_a_shipped_table_is_small_enough_to_carry_and_large_enough_to_search(name: str) -> None:
    table = load_table(name)
    assert 10**3 <= table.count <= 10**6
    size = (shipped.FOLDER / f"{name}.rlt").stat().st_size
    assert size <= min(4 * 10**6, 6 * table.count + 2**16)
    assert table.name == name


def test_tables_are_shipped() -> None:
    assert {"digits-cnn", "digits-mlp", "fashion-mnist-resnet8"} <= set(table_names())
