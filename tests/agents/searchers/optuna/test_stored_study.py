"""Optuna's storages get the trials of a search, and change nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from rlquant import QuantizationConfig
from rlquant.errors import SettingsError, StorageError
from rlquant.testing import ToyProblem
from rlquant_agents import SearchResult, make_searcher, search_problem


def searched(storage: Any, evaluations: int = 12, **settings: Any) -> SearchResult:
    given = {"startup": 4, "storage": storage, **settings}
    return search_problem(
        ToyProblem(3, 4.0), searcher="tpe", evaluations=evaluations, settings=given
    )


def trials(storage: Any, name: str = "mine") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=storage).trials


def test_a_database_has_every_trial_and_the_search_is_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    result = searched(url, study="mine")
    assert [e.config for e in result.history] == [e.config for e in searched(None).history]
    found = trials(url)
    asked = list(dict.fromkeys(QuantizationConfig.from_json(t.user_attrs["config"]) for t in found))
    assert asked == [e.config for e in result.history]
    best = optuna.load_study(study_name="mine", storage=url).best_trial
    assert QuantizationConfig.from_json(best.user_attrs["config"]) == result.best


def test_a_search_that_goes_on_adds_what_is_missing() -> None:
    storage, whole = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    searched(storage, 6, study="mine")
    first = trials(storage)
    searched(storage, 12, study="mine")
    searched(whole, 12, study="mine")
    assert trials(storage)[: len(first)] == first
    assert [t.params for t in trials(storage)] == [t.params for t in trials(whole)]
    with pytest.raises(SettingsError, match="'mine' holds trials of another search; give study="):
        searched(storage, study="mine", startup=6, decoding="decisions")
    with pytest.raises(SettingsError, match="holds trials of another search"):
        search_problem(
            ToyProblem(3, 4.0), searcher="nsga2", settings={"storage": storage, "study": "mine"}
        )


def test_studies_have_names_of_their_own(tmp_path: Path) -> None:
    storage = optuna.storages.InMemoryStorage()
    for seed in (0, 1):
        searcher = make_searcher("tpe", storage=storage)
        search_problem(ToyProblem(3, 4.0), searcher=searcher, evaluations=3, seed=seed)
    names = optuna.get_all_study_names(storage)
    assert len(names) == 2
    assert all(name.startswith("tpe-") for name in names)


def test_where_nothing_can_be_stored_that_is_one_error() -> None:
    with pytest.raises(StorageError, match=r"such as sqlite:///study\.db"):
        searched("nowhere")
    with pytest.raises(SettingsError, match="study='mine' needs a storage"):
        make_searcher("tpe", study="mine")


def test_the_storage_is_no_setting_of_a_run(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'secret.db'}"
    searcher = make_searcher("tpe", storage=storage)
    assert "secret" not in repr(searcher)
    out = tmp_path / "run"
    search_problem(ToyProblem(2, 4.0), searcher=make_searcher("tpe"), evaluations=3, out=out)
    search_problem(ToyProblem(2, 4.0), searcher=searcher, evaluations=3, out=out)  # goes on
    assert "secret" not in (out / "settings.json").read_text()
