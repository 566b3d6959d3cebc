"""A run that was killed goes on from its folder, and loses nothing."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from folder_runs import KillAfter, killed, rows_of, run
from rlquant import (
    Score,
)
from rlquant.errors import (
    FileFormatError,
    SettingsError,
)
from rlquant_agents.runs.evaluation_table import COLUMNS
from rlquant_agents.search import session

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_a_killed_run_leaves_its_best_and_goes_on(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    killed(tmp_path / "killed", 8)
    assert len(rows_of(tmp_path / "killed")) == 8
    best = min(e.score.loss for e in whole.history[:8])
    left = Score.from_json((tmp_path / "killed" / "score.json").read_text())
    assert left.loss == best
    assert not (tmp_path / "killed" / "result.json").exists()

    again = run(tmp_path / "killed")
    assert again.best == whole.best
    keys = [[row["key"] for row in rows_of(tmp_path / n)] for n in ("whole", "killed")]
    assert keys[0] == keys[1]


def test_a_row_torn_off_by_a_kill_is_written_again(tmp_path: Path) -> None:
    killed(tmp_path, 6)
    table = tmp_path / "evaluations.csv"
    whole = table.read_bytes()
    table.write_bytes(whole[:-9])
    run(tmp_path)
    assert table.read_bytes().startswith(whole[: whole[:-9].rfind(b"\n") + 1])
    assert [int(row["number"]) for row in rows_of(tmp_path)] == list(range(1, 13))


@pytest.mark.parametrize("damage", [b"", b"other,columns\n1,2\n", b"number,ke"])
def test_a_table_without_rows_of_this_run_is_begun_again(tmp_path: Path, damage: bytes) -> None:
    killed(tmp_path, 6)
    (tmp_path / "evaluations.csv").write_bytes(damage)
    run(tmp_path)
    assert len(rows_of(tmp_path)) == 12


@pytest.mark.parametrize("seconds", ["soon", "-3", "nan", "1e999"])
def test_a_row_with_damaged_seconds_ends_what_is_kept(tmp_path: Path, seconds: str) -> None:
    killed(tmp_path, 6)
    table = tmp_path / "evaluations.csv"
    lines = table.read_text().splitlines()
    cells = lines[2].split(",")
    cells[COLUMNS.index("seconds")] = seconds
    table.write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:], ""]))
    run(tmp_path)
    assert len(rows_of(tmp_path)) == 12
    assert f",{seconds}," not in table.read_text()


@pytest.mark.parametrize("column", [c for c in range(19) if c not in (1, 2)])
def test_a_row_that_was_altered_is_written_again(
    tmp_path: Path, column: int, caplog: pytest.LogCaptureFixture
) -> None:
    killed(tmp_path, 6)
    table = tmp_path / "evaluations.csv"
    whole = [line.split(",") for line in table.read_text().splitlines()]
    altered = [list(cells) for cells in whole]
    for number in (2, 5):
        altered[number][column] = "0.0001"
    table.write_text("\n".join([*(",".join(cells) for cells in altered), ""]))
    killed(tmp_path, 6)
    assert [line.split(",") for line in table.read_text().splitlines()] == whole
    assert caplog.text.count("where") == 2
    said = f"evaluation 2 had {whole[0][column]} '0.0001' where {whole[2][column]} was measured"
    assert said in caplog.text


def test_a_table_that_nobody_altered_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path)
    before = (tmp_path / "evaluations.csv").read_bytes()
    run(tmp_path)
    assert (tmp_path / "evaluations.csv").read_bytes() == before
    assert not caplog.records


def test_a_best_that_a_kill_left_behind_its_row_is_written_before_the_search_goes_on(
    tmp_path: Path,
) -> None:
    killed(tmp_path, 8)
    best = (tmp_path / "config.json").read_bytes()
    killed(tmp_path / "other", 1)
    for name in ("config.json", "score.json"):
        (tmp_path / name).write_bytes((tmp_path / "other" / name).read_bytes())
    assert (tmp_path / "config.json").read_bytes() != best
    killed(tmp_path, 8)
    assert (tmp_path / "config.json").read_bytes() == best


@pytest.mark.parametrize("name", ["settings.json", "evaluations.csv"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"x" * 200_000 + b"\n"), r"\("),
        (lambda path: path.write_bytes(b"\xff" + path.read_bytes()), "no text in UTF-8"),
        (lambda path: (path.unlink(), path.mkdir()), "it is a folder"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "it is a pipe"),
        (lambda path: os.truncate(path, 2**40), "at most"),
    ],
)
def test_a_run_does_not_go_on_from_what_is_no_file_of_a_run(
    tmp_path: Path, name: str, spoil: Callable[[Path], object], message: str
) -> None:
    killed(tmp_path, 3)
    spoil(tmp_path / name)
    with pytest.raises(FileFormatError, match=rf"{name}: .*{message}.*move it away"):
        run(tmp_path)


def test_rows_of_a_searcher_that_now_asks_differently_are_replaced(tmp_path: Path) -> None:
    killed(tmp_path, 9)
    table = tmp_path / "evaluations.csv"
    lines = table.read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split(",")[1], "0" * 32)
    table.write_text("\n".join(lines) + "\n")
    result = run(tmp_path)
    assert [row["key"] for row in rows_of(tmp_path)] == [e.config.key for e in result.history]


def test_seconds_go_on_where_the_killed_process_stopped(tmp_path: Path) -> None:
    killed(tmp_path, 6)
    table = tmp_path / "evaluations.csv"
    lines = table.read_text().splitlines()
    cells = lines[-1].split(",")
    cells[COLUMNS.index("seconds")] = "100.0"
    table.write_text("\n".join([*lines[:-1], ",".join(cells), ""]))
    run(tmp_path)
    assert float(rows_of(tmp_path)[-1]["seconds"]) > 100
    assert json.loads((tmp_path / "result.json").read_text())["seconds"] > 99


def test_an_interrupted_replay_leaves_the_results_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in (".json", ".csv")}
    result = run(tmp_path, callback=KillAfter(4, KeyboardInterrupt))
    assert (result.stopped, len(result.history)) == ("interrupted", 4)
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in (".json", ".csv")}
    assert after == before
    assert "interrupted early" in caplog.text
    assert "the best of the first 4 evaluations alone" in caplog.text


def test_an_interrupt_just_before_a_row_is_written_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)
    entered = session.callers_generators

    def interrupted() -> AbstractContextManager[None]:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return entered()

    monkeypatch.setattr(session, "callers_generators", interrupted)
    result = run(tmp_path)
    assert (result.stopped, len(result.history)) == ("interrupted", 5)
    assert len(rows_of(tmp_path)) == 5
    assert (tmp_path / "report.html").exists()


def test_fewer_evaluations_than_before_destroy_nothing(tmp_path: Path) -> None:
    run(tmp_path, evaluations=12)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SettingsError, match="holds 12 evaluations, evaluations=5 would throw"):
        run(tmp_path, evaluations=5)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_killed_run_may_go_on_with_as_many_evaluations_as_it_has(tmp_path: Path) -> None:
    killed(tmp_path, 6)
    rows = len(rows_of(tmp_path))
    assert len(run(tmp_path, evaluations=rows).history) == len(rows_of(tmp_path)) == rows
