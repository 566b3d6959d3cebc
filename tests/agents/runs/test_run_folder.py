"""A run's folder: written as it happens, gone on with, never mixed up."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rlquant
from rlquant import (
    Budget,
    EvaluationSettings,
    QuantizationConfig,
    QuantizationProblem,
    Score,
    SearchSpace,
)
from rlquant.errors import (
    FileFormatError,
    FolderInUseError,
    NetworkError,
    SettingsError,
    StorageError,
)
from rlquant.files import make_folder, write_file
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents import Callback, RunFolder, SearchResult, make_searcher, search, search_problem
from rlquant_agents.runs.evaluation_table import COLUMNS
from rlquant_agents.search import session
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.run_settings import describe_run
from rlquant_agents.search.session import Session
from small_networks import samples_of, trained

pytestmark = pytest.mark.usefixtures("blank_figures")


def rows_of(out: Path) -> list[dict[str, str]]:
    with open(out / "evaluations.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def run(out: Path | str, problem: Any = None, **arguments: Any) -> SearchResult:
    settings: dict[str, Any] = {"searcher": "random", "evaluations": 12, "seed": 3}
    return search_problem(problem or ToyProblem(3), out=out, **{**settings, **arguments})


class Kill(Exception):
    """Stands for kill -9: nothing after it runs."""


class KillAfter(Callback):
    """Ends the process, so to speak, when that many evaluations were asked for."""

    def __init__(self, evaluations: int, how: type[BaseException] = Kill) -> None:
        self._evaluations = evaluations
        self._how = how

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        if evaluation.number == self._evaluations:
            raise self._how


def killed(out: Path, after: int, problem: Any = None, **arguments: Any) -> None:
    with pytest.raises(Kill):
        run(out, problem, callback=KillAfter(after), **arguments)


# --- what stands in it


def test_a_finished_run_has_everything(tmp_path: Path) -> None:
    result = run(tmp_path)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith("events")}
    assert names == {
        "settings.json",
        "evaluations.csv",
        "config.json",
        "score.json",
        "result.json",
        "layers.json",
        "report.html",
        "pareto.png",
        "layers.png",
        "search.png",
    }
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert QuantizationConfig.from_json((tmp_path / "config.json").read_text()) == result.best
    assert Score.from_json((tmp_path / "score.json").read_text()) == result.score
    written = json.loads((tmp_path / "result.json").read_text())
    assert (written["evaluations"], written["stopped"]) == (12, "evaluations")
    assert Score(**written["score"]) == result.score


def test_every_evaluation_is_a_row_with_all_asked_decisions(tmp_path: Path) -> None:
    problem = ToyProblem(2, 6.0, MIXED)
    result = run(tmp_path, problem)
    rows = rows_of(tmp_path)
    heads = ("bits", "rounding", "method", "points", "activation_bits")
    assert list(rows[0]) == [*COLUMNS, *(f"{h}:layer{i}" for h in heads for i in range(2))]
    for row, evaluation in zip(rows, result.history, strict=True):
        assert int(row["number"]) == evaluation.number
        assert row["key"] == evaluation.config.key
        assert float(row["loss"]) == evaluation.score.loss
        assert float(row["value"]) == evaluation.value
        assert row["points:layer1"] == evaluation.config["layer1"].points
        assert row["activation_bits:layer1"] in ("", "8")
    best = [float(row["best_value"]) for row in rows]
    assert best == sorted(best)


def test_settings_hold_all_of_a_search(tmp_path: Path) -> None:
    run(tmp_path, remember={"task": "toy", "command": ["python", "x.py"]})
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert (settings["searcher"], settings["seed"], settings["evaluations"]) == ("random", 3, 12)
    assert settings["budget"] == {"quantity": "average_bits", "limit": 4.0}
    assert settings["space"]["bits"] == [2, 3, 4, 8]
    assert settings["task"] == "toy"
    assert settings["command"] == ["python", "x.py"]
    assert set(settings["versions"]) == {"python", "torch", "rlquant"}


def test_the_packed_network_has_the_bytes_of_its_score(tmp_path: Path) -> None:
    problem = small_problem()
    result = search_problem(problem, searcher="random", evaluations=3, out=tmp_path)
    written = json.loads((tmp_path / "result.json").read_text())
    size = (tmp_path / "model.rlq").stat().st_size
    assert size == written["model_bytes"] == result.score.size_bytes
    assert written["computed"] == 3
    rlquant.load(tmp_path / "model.rlq", problem.network)


def test_another_size_than_the_score_says_is_loud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problem = small_problem()
    folder = RunFolder(tmp_path, problem, describe_run(problem, make_searcher("random"), 3, 0))
    result = make_searcher("random").search(problem, 3, 0, folder)
    wrong = replace(result.score, size_bytes=7)
    with caplog.at_level(logging.ERROR):
        folder.finish(replace(result, network=problem.build(result.best), score=wrong))
    assert "bytes, not 7 as its score says" in caplog.text


def test_a_network_that_cannot_be_packed_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> int:
        raise NetworkError("a buffer of complex numbers")

    monkeypatch.setattr(rlquant, "save", refuse)
    search_problem(small_problem(), searcher="random", evaluations=3, out=tmp_path)
    assert "a buffer of complex numbers" in caplog.text
    assert json.loads((tmp_path / "result.json").read_text())["model_bytes"] is None


# --- going on


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


# --- other runs, damaged and unwritable folders


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


# --- the uniform reference


def small_problem(bits: Sequence[int] = (2, 4, 8)) -> QuantizationProblem:
    return QuantizationProblem(
        trained("mlp"),
        samples_of("mlp", 64, seed=1),
        samples_of("mlp", 64, seed=2),
        budget=Budget.average_bits(8.0),
        space=SearchSpace(bits=tuple(bits)),
        evaluation=EvaluationSettings(calibration_samples=32),
    )


# --- one run at a time


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


# --- names of layers


NAMES = (
    "$x_{$",
    "a|b\n<b>",
    "=cmd|' /C calc'!A0",
    "[/x]",
    "\x1b[31mred",
    "</svg><script>",
    "\u202e",
)


@pytest.mark.drawn
def test_whatever_layers_are_called_they_are_only_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(OrderedDict((name, nn.Linear(3, 3)) for name in NAMES))
    inputs, labels = torch.randn(96, 3), torch.randint(0, 3, (96,))
    data = (inputs[:64], labels[:64]), (inputs[64:], labels[64:])
    given: dict[str, Any] = {"budget": Budget.average_bits(14), "searcher": "random", "seed": 1}
    first = search(network, *data, evaluations=3, out=tmp_path, **given)
    second = search(network, *data, evaluations=5, out=tmp_path, **given)
    assert [e.config for e in second.history[:3]] == [e.config for e in first.history]
    rows = rows_of(tmp_path)
    assert len(rows) == 5
    assert [name for name in rows[0] if name.startswith(("=", "+", "-", "@"))] == []
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert (tmp_path / "layers.png").stat().st_size > 1000
