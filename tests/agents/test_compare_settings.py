"""What a comparison is asked for, on a task or on a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlquant import Budget
from rlquant.errors import SettingsError, UnknownNameError
from rlquant_agents.compare_settings import CompareSettings
from rlquant_agents.searcher import searchers


def test_a_table_is_compared_with_more_seeds_than_a_task() -> None:
    task, table = CompareSettings(), CompareSettings(table="digits-cnn")
    assert (task.runs_each, task.most) == (3, 200)
    assert (table.runs_each, table.most) == (10, 80)
    given = CompareSettings(table="digits-cnn", seeds=2, evaluations=7)
    assert (given.runs_each, given.most) == (2, 7)


def test_the_folder_is_named_after_what_is_searched(tmp_path: Path) -> None:
    assert CompareSettings(task="digits/mlp").folder == Path("runs/compare-digits-mlp")
    assert CompareSettings(table="digits-cnn").folder == Path("runs/compare-digits-cnn")
    assert CompareSettings(table="here/small.rlt").folder == Path("runs/compare-small")
    settings = CompareSettings(out=tmp_path, report=tmp_path / "docs" / "all.md")
    assert settings.targets == (tmp_path / "report.md", tmp_path / "docs" / "all.md")


def test_all_searchers_are_compared_unless_some_are_named() -> None:
    assert CompareSettings().names() == searchers()
    settings = CompareSettings(searchers=("tpe", "uniform"), seeds=4)
    assert settings.names() == ("tpe", "uniform")
    assert (list(settings.seeds_of("tpe")), list(settings.seeds_of("uniform"))) == (
        [0, 1, 2, 3],
        [0],
    )
    assert settings.limits() == (Budget.average_bits(2.5), Budget.average_bits(3.0))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seeds": 0}, "at least one"),
        ({"evaluations": 0}, "at least one"),
        ({"budgets": ()}, "at least one"),
        ({"searchers": ("tpe", "random", "tpe")}, "--searchers names tpe twice"),
    ],
)
def test_runs_that_cannot_be_made_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CompareSettings(**settings).names()


def test_unknown_searchers_and_equal_budgets_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'local-swap'"):
        CompareSettings(searchers=("local-swaps",)).names()
    with pytest.raises(SettingsError, match="--budgets names average bits 3 twice"):
        CompareSettings(budgets=(3, 3.0)).limits()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "digits/mlp"}, "--task plays no part with --table"),
        ({"bits": (2, 4)}, "--bits plays no part"),
        ({"validation_samples": 100}, "--validation-samples plays no part"),
        ({"store": Path("here.sqlite")}, "--store plays no part"),
    ],
)
def test_a_table_takes_no_settings_of_tasks(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CompareSettings(table="digits-cnn", **settings).require_table_settings()
    CompareSettings(table="digits-cnn", quantity="size_bytes", threads=2).require_table_settings()
