"""What a comparison is asked for, on a task or on a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlquant import Budget, table_names
from rlquant.errors import SettingsError, UnknownNameError
from rlquant_agents.search.searcher import searchers
from rlquant_experiments.baselines.registration import register_baselines
from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.variants import Variant


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
    register_baselines()
    every = tuple(name for name in searchers() if name not in ("auto", "gp"))
    assert tuple(variant.label for variant in CompareSettings().compared()) == every
    settings = CompareSettings(searchers=("tpe", "uniform"), seeds=4, first_seed=50)
    tpe, uniform = settings.compared()
    assert (tpe, uniform) == (Variant.plain("tpe"), Variant.plain("uniform"))
    assert (list(settings.seeds_of(tpe)), list(settings.seeds_of(uniform))) == (
        [50, 51, 52, 53],
        [50],
    )
    assert settings.limits() == (Budget.average_bits(2.5), Budget.average_bits(3.0))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seeds": 0}, "at least one"),
        ({"evaluations": 0}, "at least one"),
        ({"budgets": ()}, "at least one"),
        ({"searchers": ("tpe", "random", "tpe")}, "--searchers names tpe twice"),
        ({"first_seed": -1}, "--first-seed=-1, use a whole number of at least 0"),
    ],
)
def test_runs_that_cannot_be_made_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CompareSettings(**settings).compared()


def test_unknown_searchers_and_equal_budgets_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'local-swap'"):
        CompareSettings(searchers=("local-swaps",)).compared()
    with pytest.raises(SettingsError, match="--budgets names average bits 3 twice"):
        CompareSettings(budgets=(3, 3.0)).limits()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "digits/mlp"}, "--task cannot be combined with --table"),
        ({"bits": (2, 4)}, "--bits cannot be combined"),
        ({"validation_samples": 100}, "--validation-samples cannot be combined"),
        ({"store": Path("here.sqlite")}, "--store cannot be combined"),
        ({"workers": 0}, "--workers=0, use a whole number of at least 1"),
    ],
)
def test_a_table_takes_no_settings_of_tasks(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CompareSettings(table="digits-cnn", **settings).check()
    CompareSettings(table="digits-cnn", quantity="size_bytes", threads=2).check()


def variants_file(folder: Path, text: str) -> Path:
    path = folder / "variants.json"
    path.write_text(text)
    return path


def test_variants_take_the_place_of_all_searchers_and_stand_beside_named_ones(
    tmp_path: Path,
) -> None:
    path = variants_file(tmp_path, '{"few": {"searcher": "tpe", "settings": {"startup": 3}}}')
    few = Variant("few", "tpe", {"startup": 3})
    assert CompareSettings(variants=path).compared() == (few,)
    both = CompareSettings(variants=path, searchers=("tpe",))
    assert both.compared() == (Variant.plain("tpe"), few)
    names = both.run_names(both.compared(), Budget.average_bits(2.5))
    assert names[0] == (Variant.plain("tpe"), 0, "tpe-2.5-seed0")
    assert names[-1] == (few, 2, "few-2.5-seed2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"tpe": {"searcher": "tpe", "settings": {"startup": 3}}}', "names tpe twice"),
        ('{"few": {"searcher": "tpe", "settings": {"begin": 3}}}', "has no setting 'begin'"),
        ('{"few": {"searcher": "tpe", "settings": {"startup": 0}}}', "startup=0"),
    ],
)
def test_variants_that_cannot_run_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = variants_file(tmp_path, text)
    with pytest.raises(SettingsError, match=words):
        CompareSettings(searchers=("tpe",), variants=path).compared()


def test_all_tables_are_those_that_come_with_rlquant() -> None:
    settings = CompareSettings(tables=("all",))
    assert settings.on_tables
    assert settings.table_list() == table_names()
    assert settings.folder == Path("runs/compare-tables")
    assert (settings.runs_each, settings.most) == (10, 80)
    assert CompareSettings(table="digits-cnn").table_list() == ("digits-cnn",)
    with pytest.raises(SettingsError, match="--tables names digits-cnn twice"):
        CompareSettings(tables=("digits-cnn", "here/digits-cnn.rlt")).table_list()
    with pytest.raises(SettingsError, match="--table and --tables both name tables"):
        CompareSettings(table="digits-mlp", tables=("digits-cnn",)).table_list()


def test_others_are_compared_with_the_agent_unless_another_is_named() -> None:
    labels = ["random", "masked-ppo", "ppo", "tpe"]
    assert CompareSettings().chosen(labels) == "masked-ppo"
    assert CompareSettings().chosen(["tpe", "random"]) == "tpe"
    assert CompareSettings(against="random").chosen(labels) == "random"
    assert CompareSettings().highlighted(labels) == ("masked-ppo", "ppo")
    assert CompareSettings(agents=("tpe",)).highlighted(labels) == ("masked-ppo", "tpe")
    with pytest.raises(UnknownNameError, match="label for --against 'tp'; did you mean 'tpe'"):
        CompareSettings(against="tp").chosen(labels)
    with pytest.raises(UnknownNameError, match="label for --agents 'pp'; did you mean 'ppo'"):
        CompareSettings(agents=("pp",)).highlighted(labels)


def test_a_task_is_searched_in_one_process() -> None:
    CompareSettings().check()
    with pytest.raises(SettingsError, match="--workers 2 cannot be used without tables"):
        CompareSettings(workers=2).check()
