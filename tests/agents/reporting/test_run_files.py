"""A run's folder as a report reads it: complete, or one error that says what to do."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reported_runs import changed, live_problem, run_of, searched
from rlquant import Budget, RlquantError
from rlquant.errors import FileFormatError
from rlquant.testing import ToyProblem
from rlquant_agents import make_searcher
from rlquant_agents.reporting.report import make_report
from rlquant_agents.reporting.run_files import Settings, read_run
from rlquant_agents.search.curves import best_losses
from strategies import altered, damage

pytestmark = pytest.mark.usefixtures("blank_figures")

AGAIN = "give the same search again"
FILES = ("settings.json", "result.json", "layers.json", "config.json", "evaluations.csv")


def test_a_folder_says_what_the_search_said(tmp_path: Path) -> None:
    result = searched(tmp_path)
    run = read_run(tmp_path)
    assert run.config == result.best
    assert run.outcome.score == result.score
    assert run.outcome.notes == result.notes
    assert np.array_equal(run.curve, best_losses(result.history), equal_nan=True)
    assert [e.candidate for e in run.evaluations] == [e.candidate for e in result.history]
    for evaluation in result.history:
        assert run.measured(evaluation.config) == evaluation.score.loss
    assert (run.quantity, run.limit, run.name) == ("average_bits", 4.0, "local-swap, seed 1")


def test_ratios_are_made_of_bytes(tmp_path: Path) -> None:
    problem = live_problem(budget=Budget.size_ratio(0.9))
    result = searched(tmp_path, problem, evaluations=5)
    costs = [evaluation.cost for evaluation in read_run(tmp_path).evaluations]
    assert costs == pytest.approx([e.score.size_ratio for e in result.history])


def test_losses_that_are_not_finite_are_read(tmp_path: Path) -> None:
    problem = ToyProblem(2)
    fine = make_searcher("random").search(problem, 3, 0).history[1].config
    broken = ToyProblem(2, loss_of=lambda config: 0.5 if config == fine else math.inf)
    run = run_of(tmp_path, broken, searcher="random", evaluations=3, seed=0)
    assert run.outcome.score.loss == 0.5
    assert [e.loss for e in run.evaluations] == [math.inf, 0.5, math.inf]


# --- folders without a report


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    searched(out, live_problem(), evaluations=3)
    return out


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of a run that a test may damage."""
    return shutil.copytree(original, tmp_path / "run")


def refused(folder: Path) -> str:
    with pytest.raises(FileFormatError) as error:
        read_run(folder)
    return str(error.value)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    said = refused(tmp_path)
    assert f"{tmp_path} holds no search: it has no settings.json; give the folder" in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("result.json", "has no result.json: the search there goes on or was killed"),
        ("layers.json", "has no layers.json: an rlquant that made no reports searched there"),
        ("config.json", "config.json: it is missing"),
        ("evaluations.csv", "evaluations.csv: it is missing"),
        ("model.rlq", "model.rlq has 0 bytes and result.json says"),
    ],
)
def test_a_file_that_is_missing(folder: Path, name: str, why: str) -> None:
    (folder / name).unlink()
    said = refused(folder)
    assert why in said
    assert AGAIN in said


@pytest.mark.drawn
@pytest.mark.parametrize("name", ["result.json", "layers.json"])
def test_the_advice_is_true(folder: Path, name: str) -> None:
    whole = (folder / "report.html").read_bytes()
    (folder / name).unlink()
    refused(folder)
    searched(folder, live_problem(), evaluations=3)
    assert without_seconds(folder) == without_seconds(folder, whole)


def without_seconds(folder: Path, page: bytes | None = None) -> list[str]:
    text = (page or (folder / "report.html").read_bytes()).decode()
    return [line for line in text.splitlines() if " s<" not in line]


@pytest.mark.parametrize("name", ["settings.json", "result.json", "layers.json", "config.json"])
@pytest.mark.parametrize("text", ["{", "[1]", '"text"', "\0"])
def test_a_damaged_file(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    said = refused(folder)
    assert f"{folder / name}: " in said
    assert f"move it away and {AGAIN}" in said


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "evaluations.csv").write_bytes(b"\xff\xfe\x00")
    assert "evaluations.csv: it is no text" in refused(folder)


@pytest.mark.parametrize("field", sorted(Settings.__annotations__))
def test_settings_without_a_field(folder: Path, field: str) -> None:
    changed(folder / "settings.json", lambda settings: settings.update({field: None}))
    said = refused(folder)
    assert f"settings.json: it is damaged ({field} is None, use" in said


@pytest.mark.parametrize("budget", [{}, {"quantity": "joy", "limit": 3}, {"quantity": "bops"}])
def test_settings_with_a_strange_budget(folder: Path, budget: dict[str, Any]) -> None:
    changed(folder / "settings.json", lambda settings: settings.update(budget=budget))
    assert "damaged (budget." in refused(folder)


def test_settings_of_another_version(folder: Path) -> None:
    changed(folder / "settings.json", lambda settings: settings.update(version=9))
    assert "is of version 9, this rlquant reads 1; make the report with" in refused(folder)


def drop(field: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(field)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("result.json", drop("score")),
        ("result.json", drop("notes")),
        ("result.json", lambda document: document.update(evaluations=None)),
        ("result.json", lambda document: document.update(score={"loss": 1.0})),
        ("layers.json", drop("options")),
        ("layers.json", lambda document: document.update(version=2)),
        ("layers.json", lambda document: document["layers"].pop()),
        ("layers.json", lambda document: document["cost"].update(fixed=-1)),
        ("layers.json", lambda document: document.update(parts={"layers": 3})),
        ("layers.json", lambda document: document["parts"]["layers"].pop()),
        ("config.json", drop("layers")),
        ("config.json", lambda document: document.update(layers=[])),
    ],
)
def test_a_file_with_damaged_fields(
    folder: Path, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    changed(folder / name, change)
    said = refused(folder)
    assert str(folder) in said
    assert f"move it away and {AGAIN}" in said


@pytest.mark.parametrize(
    ("column", "cell"), [("loss", "soon"), ("final", "perhaps"), ("key", None)]
)
def test_a_damaged_row(folder: Path, column: str, cell: str | None) -> None:
    table = folder / "evaluations.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    place = lines[0].index(column)
    if cell is None:
        lines[0][place] = "kee"
    else:
        lines[2][place] = cell
    table.write_text("\n".join(map(",".join, lines)) + "\n")
    assert (
        f"evaluations.csv: it is damaged ({'no column key' if cell is None else 'line 3: '}"
        in refused(folder)
    )


def test_a_search_that_goes_on(folder: Path) -> None:
    table = folder / "evaluations.csv"
    table.write_text(table.read_text() + table.read_text().splitlines()[-1] + "\n")
    said = refused(folder)
    assert "has 4 evaluations and result.json tells of 3: the search goes on" in said


def test_a_network_that_was_replaced(folder: Path) -> None:
    (folder / "model.rlq").write_bytes(b"another")
    assert "model.rlq has 7 bytes and result.json says" in refused(folder)


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    assert "config.json: it is a folder, where a file should be" in refused(folder)


def test_the_facts_are_one_small_file(folder: Path) -> None:
    text = (folder / "layers.json").read_text()
    assert json.loads(text)["version"] == 1
    assert len(text) < 10_000


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from(FILES))
def test_any_damage_is_refused_or_gives_a_report(
    data: st.DataObject, name: str, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = shutil.copytree(original, tmp_path_factory.mktemp("damaged") / "run")
    whole = (folder / name).read_bytes()
    if name.endswith(".json") and data.draw(st.booleans()):
        text = json.dumps(data.draw(altered(json.loads(whole))))
        (folder / name).write_text(text)
    else:
        (folder / name).write_bytes(data.draw(damage(whole)))
    begun = time.process_time()
    with contextlib.suppress(RlquantError):
        make_report(folder)
    assert time.process_time() - begun < 5
