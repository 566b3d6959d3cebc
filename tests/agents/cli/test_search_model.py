"""`rlquant search --model`: a network of one's own, remembered by the run folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlquant_agents.cli import eval as evaluation
from rlquant_agents.cli import search
from rlquant_agents.cli.task_source import TaskSource
from tiny_models import save_llama, text_of

QUICK = ["--searcher", "random", "--baselines", "--evaluations", "3", "--no-progress"]

MODULE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    data = [(torch.randn(40, 3), torch.randint(2, (40,))) for _ in range(3)]
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)), *data
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_of_a_test.py").write_text(MODULE)
    yield "model_of_a_test"
    sys.modules.pop("model_of_a_test", None)


def test_the_network_of_a_function_is_searched_and_measured_again(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search.main(["--model", f"{module}:build", *QUICK, "--budget", "6"]) == 0
    assert "model_of_a_test:build: 2 layers with 40 weights" in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").glob("model_of_a_test-build-random-6.0-seed0")
    assert evaluation.main([str(folder)]) == 0
    assert "model.rlq: equals the stored score" in capsys.readouterr().out
    report = (folder / "report.html").read_text()
    assert "rlquant.tasks.load_model(&#39;model_of_a_test:build&#39;).network" in report


def test_a_folder_of_transformers_is_searched_and_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    save_llama(tmp_path / "llama")
    (tmp_path / "text.txt").write_text(text_of(256 * 10))
    given = ["--model", "transformers:llama", "--text", "text.txt", "--out", "mine"]
    assert search.main([*given, *QUICK, "--budget", "6"]) == 0
    monkeypatch.chdir("/")
    capsys.readouterr()
    assert evaluation.main([str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.count("equals the stored score") == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["--model", "mine"],
            "--model 'mine': use transformers:FOLDER, gguf:FILE, timm:NAME or my_module:",
        ),
        (["--text", "a.txt"], "--text and --images belong to a --model; name one"),
        (["--model", "no_module:build"], "no_module cannot be imported"),
        (["--model", "transformers:nowhere", "--text", "a.txt"], "nowhere has no config.json"),
    ],
)
def test_what_is_wrong_is_one_line(
    given: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search.main([*given, *QUICK, "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_source_names_files_by_the_last_part_of_a_path() -> None:
    names = ("digits/mlp", "transformers:/models/Smol LM/", "timm:resnet18.a1", "my.module:build")
    found = [TaskSource(name).file_name for name in names]
    assert found == ["digits-mlp", "Smol-LM", "timm-resnet18.a1", "my.module-build"]
