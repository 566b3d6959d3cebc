"""The store: what was put comes back, to the bit."""

from __future__ import annotations

import math
import os
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from rlquant.config import QuantizationConfig
from rlquant.errors import FileFormatError
from rlquant.evaluation.looks import Look
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore
from stored import MEASURED, config, spoiled, written


def test_what_was_put_is_found_by_problem_and_configuration(store: EvaluationStore) -> None:
    assert store.get("p", config(3)) is None
    store.put("p", config(3), MEASURED, 0.1)
    assert store.get("p", config(3)) == MEASURED
    assert store.get("p", config(4)) is None
    assert store.get("q", config(3)) is None


def test_an_infinite_loss_is_kept(store: EvaluationStore) -> None:
    store.put("p", config(3), Measurement(math.inf, 0.1, 200), 0.1)
    assert store.get("p", config(3)) == Measurement(math.inf, 0.1, 200)


def test_a_metric_that_is_no_number_is_kept(store: EvaluationStore) -> None:
    store.put("p", config(3), Measurement(0.5, math.nan, 200), 0.1)
    found = store.get("p", config(3))
    assert found is not None
    assert math.isnan(found.accuracy)
    assert (found.loss, found.samples) == (0.5, 200)


def test_numbers_come_back_bit_for_bit(store: EvaluationStore) -> None:
    measured = Measurement(0.1 + 0.2, 1 / 3, 7)
    store.put("p", config(3), measured, 0.1)
    assert store.get("p", config(3)) == measured


def test_the_first_record_stays(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1)
    store.put("p", config(3), Measurement(9.0, 0.0, 1), 0.1)
    assert store.get("p", config(3)) == MEASURED
    assert store.count() == 1


def looks(*lengths: int) -> list[Look]:
    return [np.arange(length) / 7 - math.pi for length in lengths]


def seen(store: EvaluationStore, *sizes: int) -> list[list[float]] | None:
    found = store.looks("p", config(3), sizes)
    return None if found is None else [look.tolist() for look in found]


def test_looks_come_back_bit_for_bit_in_their_sizes(store: EvaluationStore) -> None:
    assert seen(store, 3, 2) is None
    given = looks(3, 2)
    given[1][0] = math.inf
    store.put("p", config(3), None, 0.1, given)
    assert seen(store, 3, 2, 5) == [look.tolist() for look in given]
    assert store.get("p", config(3)) is None
    assert store.count() == 0
    assert store.looks("q", config(3), (3, 2)) is None


def test_no_looks_are_told_from_none_recorded(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1, [])
    assert seen(store, 3) == []
    store.put("p", config(4), MEASURED, 0.1)
    assert store.looks("p", config(4), (3,)) is None


def test_more_looks_take_the_place_of_fewer_until_the_evaluation_is_whole(
    store: EvaluationStore,
) -> None:
    store.put("p", config(4), MEASURED, 0.1, looks(2))  # another's, which is whole already
    for measured, sizes, kept in (
        (None, (2,), 1),
        (None, (2, 2, 2), 3),
        (None, (2, 2), 3),
        (MEASURED, (2, 2, 2, 2), 4),
        (None, (2, 2, 2, 2, 2), 4),
    ):
        store.put("p", config(3), measured, 0.1, looks(*sizes))
        found = seen(store, 2, 2, 2, 2, 2)
        assert found is not None
        assert len(found) == kept


@pytest.mark.parametrize("blob", ["x'00'", "zeroblob(16)", "zeroblob(56)", "'text'", "3"])
def test_looks_of_another_form_are_refused(tmp_path: Path, blob: str) -> None:
    path = written(tmp_path / "store.db")
    spoiled(path, f"INSERT INTO looks VALUES ('p', '{config(3).key}', {blob})")
    with pytest.raises(FileFormatError, match=r"store.db: damaged, the looks at an evaluation are"):
        EvaluationStore(path).looks("p", config(3), (1, 2, 3))


def test_expected_increases_come_back_bit_for_bit_and_the_first_ones_stay(
    store: EvaluationStore,
) -> None:
    found = np.array([[0.1, 2.0, 0.0]]) / 3
    assert store.increases("p", "plan", (1, 3)) is None
    store.put_increases("p", "plan", found)
    store.put_increases("p", "plan", found + 1)
    again = EvaluationStore(store.place)
    for problem, plan, known in (("p", "plan", True), ("q", "plan", False), ("p", "other", False)):
        stored = again.increases(problem, plan, (1, 3))
        assert (stored is not None and np.array_equal(stored, found)) == known


@pytest.mark.parametrize("blob", ["x'00'", "zeroblob(16)", "'text'", "x'000000000000F07F'"])
def test_expected_increases_of_another_form_are_refused(tmp_path: Path, blob: str) -> None:
    path = written(tmp_path / "store.db")
    spoiled(path, f"INSERT INTO increases VALUES ('p', 'plan', {blob})")
    with pytest.raises(FileFormatError, match=r"increases that are not 1 x 1 finite numbers"):
        EvaluationStore(path).increases("p", "plan", (1, 1))


def test_records_are_counted_by_problem_or_all(store: EvaluationStore) -> None:
    assert store.count() == store.count("p") == 0
    for bits, problem in ((2, "p"), (3, "p"), (2, "q")):
        store.put(problem, config(bits), MEASURED, 0.1)
    assert (store.count(), store.count("p"), store.count("q"), store.count("r")) == (3, 2, 1, 0)


def test_the_store_survives_reopening(tmp_path: Path) -> None:
    path = written(tmp_path / "store.db")
    again = EvaluationStore(path)
    assert again.get("p", config(3)) == MEASURED
    again.close()
    again.close()  # twice is no error
    assert again.get("p", config(3)) == MEASURED  # and the next use opens it


def test_nothing_is_made_before_first_use(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "store.db"
    store = EvaluationStore(path)
    assert not path.parent.exists()
    assert store.count() == 0
    assert path.exists()


def test_the_configuration_can_be_read_with_any_sqlite(tmp_path: Path) -> None:
    connection = sqlite3.connect(written(tmp_path / "store.db"))
    ((text, seconds),) = connection.execute("SELECT config, seconds FROM evaluations").fetchall()
    connection.close()
    assert QuantizationConfig.from_json(text) == config(3)
    assert seconds == 0.1


def test_a_store_crosses_processes_as_its_path(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1)
    copied = pickle.loads(pickle.dumps(store))
    assert copied.place == store.place
    assert copied.get("p", config(3)) == MEASURED


def test_a_forked_process_opens_its_own_connection(store: EvaluationStore) -> None:
    store.put("p", config(3), MEASURED, 0.1)
    mine = store.records
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        assert store.records is not mine
        assert store.get("p", config(3)) == MEASURED
        store.close()
    assert store.records is mine
