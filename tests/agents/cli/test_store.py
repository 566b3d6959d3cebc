"""`rlquant store`: list, show, merge and prune, on files and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant.__main__ import main
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore

FIRST, SECOND = "aa11" * 16, "bb22" * 16


def config(bits: int) -> QuantizationConfig:
    return QuantizationConfig((LayerChoice("conv", bits),))


def fill(place: str | Path, problem: str, *widths: int) -> EvaluationStore:
    store = EvaluationStore(place)
    for bits in widths:
        store.put(problem, config(bits), Measurement(1 / bits, 0.5, 200), 0.5)
    return store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a store with two problems."""
    path = tmp_path / "s.sqlite"
    fill(path, FIRST, 2, 4, 8).close()
    fill(path, SECOND, 3).close()
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["store", *map(str, words)]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["store", *map(str, words)]) == 1
    return capsys.readouterr().err


def test_list_shows_every_problem(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "list", path)
    assert "4 evaluations" in shown
    (row,) = [line.split() for line in shown.splitlines() if FIRST[:16] in line]
    assert row[1:8:2] == [FIRST[:16], "3", "0.1250", "2"]


def test_show_gives_the_best_first_and_its_configuration(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = said(capsys, "show", path, "aa", "--most", "2")
    assert f"problem {FIRST[:16]}, 3 evaluations" in shown
    assert shown.index("0.1250") < shown.index("0.2500")
    assert "0.5000 │" in shown
    text = shown.partition("the first of them: ")[2]
    assert QuantizationConfig.from_json(text) == config(8)


def test_merge_takes_what_is_new_alone(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "o.sqlite"
    fill(other, FIRST, 4, 5).close()
    words = f"1 new evaluation of {other} in {path}, which has 5 now\n"
    assert said(capsys, "merge", other, path) == words
    assert "0 new evaluations of" in said(capsys, "merge", other, path)


def test_prune_removes_problems_and_what_is_old(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "prune", path, "--older-than", "1") == ("0 evaluations removed, 4 left\n")
    assert "1 evaluation removed, 3" in said(capsys, "prune", path, "--problems", "bb")
    assert "3 evaluations removed, 0" in said(capsys, "prune", path, "--older-than", "0")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["list", "none.sqlite"], "none.sqlite: no such store; `rlquant search --store` makes one"),
        (["show", "s.sqlite"], "s.sqlite: 2 problems begin with ''; name one as `rlquant store"),
        (["show", "s.sqlite", "c"], "s.sqlite: no problem begins with 'c'; name one as"),
        (["show", "s.sqlite", "aa", "--most", "0"], "--most 0: use a whole number of at least 1"),
        (["merge", "s.sqlite", "./s.sqlite"], "a store is not merged into itself; give another"),
        (["prune", "s.sqlite"], "prune: give --problems, --older-than DAYS, or both"),
        (["prune", "s.sqlite", "--older-than", "-1"], "--older-than -1.0: use a number of days, 0"),
        (["drop", "s.sqlite"], "see --help"),
    ],
)
def test_wrong_words_are_one_line(
    path: Path,
    words: list[str],
    error: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(path.parent)
    shown = refused(capsys, *words)
    assert error in shown
    assert shown.count("\n") == 1
