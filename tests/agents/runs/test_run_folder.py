"""A run's folder: what stands in it, whatever layers are called."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rlquant
from folder_runs import rows_of, run, small_problem
from rlquant import (
    Budget,
    QuantizationConfig,
    Score,
)
from rlquant.errors import (
    NetworkError,
)
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents import RunFolder, make_searcher, search, search_problem
from rlquant_agents.runs.evaluation_table import COLUMNS
from rlquant_agents.search.run_settings import describe_run

pytestmark = pytest.mark.usefixtures("blank_figures")


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
