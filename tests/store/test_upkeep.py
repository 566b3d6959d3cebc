"""Whole stores: summaries, merging across databases, and pruning."""

from __future__ import annotations

import math
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.errors import FileFormatError
from rlquant.score import Measurement
from rlquant.store import records
from rlquant.store.store import EvaluationStore
from rlquant.store.upkeep import best_evaluations, merge, prune, summaries


def config(number: int) -> QuantizationConfig:
    return QuantizationConfig((LayerChoice(f"layer{number}", 3),))


@pytest.fixture
def file(tmp_path: Path) -> EvaluationStore:
    """Return a store in a file: 7 evaluations of one problem, one of another, looks of both."""
    made = EvaluationStore(tmp_path / "file.db")
    for number in range(7):
        measured = Measurement(math.inf if number == 3 else 7.0 - number, math.nan, 10)
        made.put("p", config(number), measured, 0.5, [np.arange(2.0)] * (number + 1))
    made.put("q", config(0), Measurement(0.1 + 0.2, 1 / 3, 10, metrics={"f1": 0.5}), 0.5)
    made.put("q", config(1), None, 0.5, [np.arange(2.0)])
    made.put_increases("q", "plan", np.ones((2, 3)))
    return made


def test_merging_page_by_page_keeps_everything(
    file: EvaluationStore, store: EvaluationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PAGE", 3)
    store.put("p", config(0), Measurement(99.0, 0.5, 10), 0.5, [np.arange(2.0)])
    assert merge(file, store) == 7
    assert merge(file, store) == 0
    kept = store.get("p", config(0))
    assert kept is not None
    assert kept.loss == 99.0  # the first stays
    for problem, number in [("p", n) for n in range(1, 7)] + [("q", 0)]:
        there, here = file.get(problem, config(number)), store.get(problem, config(number))
        assert repr(there) == repr(here)  # NaN too
        sizes = [2] * 7
        assert repr(file.looks(problem, config(number), sizes)) == repr(
            store.looks(problem, config(number), sizes)
        )
    assert store.looks("q", config(1), (2,)) is not None
    found = store.increases("q", "plan", (2, 3))
    assert found is not None
    assert found.tolist() == np.ones((2, 3)).tolist()


def test_summaries_and_the_best(file: EvaluationStore, store: EvaluationStore) -> None:
    assert summaries(store) == []
    merge(file, store)
    first, second = summaries(store)
    assert (first.problem, first.evaluations, first.seconds) == ("q", 1, 0.5)
    assert (second.problem, second.evaluations, second.loss) == ("p", 7, 1.0)
    best = best_evaluations(store, "p", 20)
    assert [each.loss for each in best] == [1.0, 2.0, 3.0, 5.0, 6.0, 7.0, math.inf]
    assert best[0].config == config(6)
    assert len(best_evaluations(store, "p", 2)) == 2


def test_pruning_by_problem_takes_everything_of_it(
    file: EvaluationStore, store: EvaluationStore
) -> None:
    merge(file, store)
    assert prune(store, ["q"]) == 1
    assert store.count() == 7
    assert store.looks("q", config(1), (2,)) is None
    assert store.increases("q", "plan", (2, 3)) is None
    assert store.looks("p", config(0), (2,)) is not None


def test_pruning_by_age_takes_the_looks_along(store: EvaluationStore) -> None:
    measured = Measurement(1.0, 0.5, 10)
    store.put("p", config(0), measured, 0.5, [np.arange(2.0)])
    store.put("q", config(0), measured, 0.5, [np.arange(2.0)])
    time.sleep(0.01)
    now = time.time()
    store.put("p", config(1), measured, 0.5, [np.arange(2.0)])
    assert prune(store, ["p"], now) == 1
    assert store.get("p", config(0)) is store.looks("p", config(0), (2,)) is None
    assert store.looks("p", config(1), (2,)) is not None
    assert prune(store, [], now) == 1
    assert store.count() == 1


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE evaluations SET loss = 'low'", "it has an evaluation"),
        ("UPDATE evaluations SET samples = -1", "it has an evaluation"),
        ("UPDATE evaluations SET config = '{}'", "it has an evaluation"),
        ("UPDATE evaluations SET metrics = '[1]'", "it has an evaluation"),
        ("UPDATE evaluations SET config_key = 'x' || config_key", "it has an evaluation"),
        ("UPDATE looks SET numbers = x'00'", "looks has a row"),
        ("UPDATE increases SET numbers = 'text'", "increases has a row"),
    ],
)
def test_what_is_damaged_is_not_merged(
    file: EvaluationStore, tmp_path: Path, statement: str, words: str
) -> None:
    file.close()
    connection = sqlite3.connect(tmp_path / "file.db")
    with connection:
        connection.execute(statement)
    connection.close()
    target = EvaluationStore(tmp_path / "target.db")
    with pytest.raises(FileFormatError, match=f"file.db: damaged, {words}.*; move it away"):
        merge(file, target)
    assert target.count() == 0


def test_pruning_makes_the_file_smaller(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "s.db")
    for number in range(20):
        store.put("p", config(number), None, 0.5, [np.zeros(2000)])
    store.close()
    before = (tmp_path / "s.db").stat().st_size
    assert prune(store, ["p"]) == 0
    store.close()
    assert (tmp_path / "s.db").stat().st_size < before / 4
