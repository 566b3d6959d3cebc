"""Folders of other runs, damaged and unwritable ones, and two runs in one: never mixed up."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from folder_runs import rows_of, run, small_problem
from rlquant import (
    SearchSpace,
)
from rlquant.errors import (
    FileFormatError,
    FolderInUseError,
    SettingsError,
    StorageError,
)
from rlquant.files import make_folder, write_file
from rlquant.testing.toy_problem import ToyProblem
from rlquant_agents import Callback
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": 4}, "seed was 3 and is 4 now"),
        ({"searcher": "uniform"}, "searcher was 'random' and is 'uniform' now"),
        ({"reward": "loss"}, "reward was 'log_loss' and is 'loss' now"),
        ({"problem": ToyProblem(3, 3.0)}, "budget.limit was 4.0 and is 3.0 now"),
        ({"problem": ToyProblem(3, 4.0, SearchSpace(bits=(2, 4)))}, "space.bits was"),
    ],
)
def test_a_folder_of_another_run_is_refused(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    run(tmp_path)
    before = (tmp_path / "evaluations.csv").read_bytes()
    with pytest.raises(SettingsError, match="give another folder") as error:
        run(tmp_path, **arguments)
    assert words in str(error.value)
    assert (tmp_path / "evaluations.csv").read_bytes() == before


def test_the_run_of_another_problem_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path)
    monkeypatch.setattr(ToyProblem, "fingerprint", "other")
    with pytest.raises(SettingsError, match="problem was 'toy' and is 'other' now") as error:
        run(tmp_path)
    assert "a loader that shuffles gives other calibration samples" in str(error.value)


@pytest.mark.parametrize("text", ["{", "[1]", '"text"'])
def test_damaged_settings_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"settings\.json: no settings"):
        run(tmp_path)


def test_a_table_that_is_no_text_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "evaluations.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match=r"evaluations\.csv: no table"):
        run(tmp_path)


def test_a_folder_that_cannot_be_made_says_so_before_the_search(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    problem = ToyProblem(3)
    with pytest.raises(StorageError, match="cannot be written"):
        run(tmp_path / "file" / "run", problem)
    assert problem.evaluated == []


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_says_so_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(StorageError, match="No space left on device"):
        make_folder(tmp_path)


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path / "a.json", "before")
    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(StorageError, match=r"a\.json: cannot be written"):
        write_file(tmp_path / "a.json", "after")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "before"


def test_a_search_within_a_search_in_one_folder_is_refused_and_leaves_it_alone(
    tmp_path: Path,
) -> None:
    refused: list[str] = []

    class Again(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            if evaluation.number == 5:
                with pytest.raises(FolderInUseError, match="another run writes here") as caught:
                    run(tmp_path)
                refused.append(str(caught.value))

    result = run(tmp_path, callback=Again())
    assert len(refused) == 1
    assert [row["number"] for row in rows_of(tmp_path)] == [str(n) for n in range(1, 13)]
    assert [e.config for e in run(tmp_path).history] == [e.config for e in result.history]


def test_what_cannot_be_a_folder_or_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="out=3: give a path"):
        run(3)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="out='': an empty path"):
        run("")  # type: ignore[arg-type]
    for store in (3, "", "a\0b"):
        with pytest.raises(SettingsError, match=r"store=.*path"):
            run(tmp_path / "out", small_problem(), store=store)


def test_a_search_stays_in_its_folder_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leave(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            monkeypatch.chdir(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run("runs/x", callback=Leave())  # type: ignore[arg-type]
    assert len(rows_of(tmp_path / "runs" / "x")) == 12
    assert list((tmp_path / "elsewhere").iterdir()) == []
