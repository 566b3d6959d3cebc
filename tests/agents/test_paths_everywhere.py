"""Every public call that is given a path takes the same, and refuses the same in the same words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rlquant
from rlquant import Budget, EvaluationStore, LatencyTable, load_table, tasks
from rlquant.errors import FileFormatError, SettingsError, StorageError, UnknownNameError
from rlquant.export.rlq.packed import read_config
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_agents.policies.agent_training import train_agent
from rlquant_agents.policies.saved_agent import from_agent
from rlquant_agents.reporting import make_report, write_report
from rlquant_agents.search.callbacks import TensorBoardLog
from rlquant_agents.search.training_log import TensorBoardTrainingLog
from rlquant_envs import LayerwiseQuantization, TabularQuantization

pytestmark = pytest.mark.usefixtures("blank_figures")

NETWORK = nn.Linear(2, 2)
BUDGET = Budget.average_bits(5.0)


WRITES: dict[str, Callable[[Any], Any]] = {
    "search_problem(out=)": lambda path: search_problem(ToyProblem(2), evaluations=2, out=path),
    "train_agent(folder=)": lambda path: train_agent(
        {"toy": ToyProblem()}, [BUDGET], folder=path, episodes=2
    ),
    "TensorBoardLog": TensorBoardLog,
    "TensorBoardTrainingLog": TensorBoardTrainingLog,
    "EvaluationStore": lambda path: EvaluationStore(path).count(),
    "save": lambda path: rlquant.save(NETWORK, path),
    "export_onnx": lambda path: rlquant.export_onnx(NETWORK, torch.zeros(1, 2), path),
    "write_report(out=)": lambda path: write_report("missing", (), path),
}
READS: dict[str, Callable[[Any], Any]] = {
    "load": lambda path: rlquant.load(path, NETWORK),
    "read_config": read_config,
    "LatencyTable.read": LatencyTable.read,
    "Budget.latency": lambda path: Budget.latency(1.0, path),
    "load_table": load_table,
    "TabularQuantization": lambda path: TabularQuantization(path, budget=BUDGET),
    "make_report": make_report,
    "make_report(against=)": lambda path: make_report(path, [path]),
    "write_report": write_report,
    "from_agent": from_agent,
    "LayerwiseQuantization(store=)": lambda path: LayerwiseQuantization(
        task="digits/mlp", store=path
    ),
    "tasks.load(cache=)": lambda path: tasks.load("digits/mlp", cache=path),
}
NO_PATHS: list[Any] = [
    "n" * 300 + ".rlt",
    3,
    1.5,
    ["a"],
    object(),
    "",
    b"",
    "a\0b",
    Path("a\0b"),
    "~nobody-of-this-name/a",
]


@pytest.mark.parametrize("value", NO_PATHS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", [*WRITES, *READS])
def test_what_is_no_path_is_refused(
    name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SettingsError, UnknownNameError)) as caught:
        (WRITES | READS)[name](value)
    assert len(str(caught.value)) <= 500
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in READS if "Layerwise" not in name])
def test_what_is_not_there_or_something_else_is_said(name: str, tmp_path: Path) -> None:
    if name == "tasks.load(cache=)":
        pytest.skip("a cache is made, and one that cannot be is logged")
    (tmp_path / "file").touch()
    places = [tmp_path / "missing.rlt", tmp_path / "file" / "x.rlt", tmp_path]
    for place in places:
        with pytest.raises((StorageError, FileFormatError)) as caught:
            READS[name](place)
        assert len(str(caught.value)) <= 500


def test_a_path_in_bytes_with_a_tilde_or_with_a_slash_at_the_end_is_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (f"{tmp_path}/out/", "~/out", os.fsencode(tmp_path / "out")):
        search_problem(ToyProblem(2), searcher="random", evaluations=2, out=given)  # type: ignore[arg-type]
    assert len(list((tmp_path / "out").glob("*.json"))) == 5
    assert not (tmp_path / "~").exists()
    assert make_report("~/out").html == make_report(tmp_path / "out").html


def test_a_folder_whose_name_is_no_unicode_is_a_folder(tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"run-\xff")
    search_problem(ToyProblem(2), searcher="random", evaluations=2, out=out)
    assert (out / "report.html").exists()


def test_one_folder_is_no_list_of_folders(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"against='runs/x': give a list of folders"):
        make_report(tmp_path, "runs/x")
