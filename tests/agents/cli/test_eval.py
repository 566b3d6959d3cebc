"""`rlquant eval` and `rlquant export` on the folder of a search, and on what is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rlquant import Measurement, Score
from rlquant_agents.cli import eval as evaluation
from rlquant_agents.cli import export, search


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    given = [
        "--task",
        "digits/mlp",
        "--searcher",
        "random",
        "--baselines",
        "--evaluations",
        "3",
        "--bits",
        "2",
        "3",
        "4",
    ]
    samples = ["--validation-samples", "300", "--bits", "2", "3", "4"]
    assert search.main([*given, *samples, "--no-progress", "--out", str(out)]) == 0
    return out


def test_the_saved_network_has_the_stored_score(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluation.main([str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "digits/mlp, 300 validation samples" in shown
    assert "float network: equals the stored score" in shown
    assert "model.rlq: equals the stored score" in shown


def test_another_score_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    result = json.loads((copy / "result.json").read_text())
    loss = result["score"]["loss"]
    result["score"]["loss"] = 0.5
    (copy / "result.json").write_text(json.dumps(result))
    assert evaluation.main([str(copy)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"differs from the stored score: loss is {loss!r}, stored 0.5" in shown


def test_a_file_elsewhere_needs_its_task(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.rlq"
    shutil.copy(folder / "model.rlq", file)
    for command in (evaluation.main, export.main):
        assert command([str(file)]) == 1
        assert "name its task, as in --task digits/mlp" in capsys.readouterr().err
    assert evaluation.main([str(file), "--task", "digits/mlp"]) == 0
    assert "no stored scores" in capsys.readouterr().out
    assert evaluation.main([str(file), "--task", "digits/cnn"]) == 1
    assert "load it into the class of network that was saved" in capsys.readouterr().err


def test_nothing_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluation.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "model.rlq: there is no such file" in error


def test_a_damaged_folder_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "settings.json").write_text('{"task": 3}')
    assert evaluation.main([str(copy)]) == 1
    assert "settings.json: task is 3, use text" in capsys.readouterr().err
    (copy / "settings.json").write_text("{}")
    assert evaluation.main([str(copy)]) == 1
    assert "settings.json names no task" in capsys.readouterr().err
    (copy / "result.json").write_text("{")
    assert evaluation.main([str(copy)]) == 1
    assert "result.json: it is not JSON" in capsys.readouterr().err


def test_it_is_exported(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(folder)]) == 0
    assert "bytes for onnxruntime; its outputs differ" in capsys.readouterr().out
    assert (folder / "model.onnx").stat().st_size > 1000
    out = tmp_path / "other.onnx"
    given = [str(folder / "model.rlq"), "--target", "onnxruntime-int4", "--out", str(out)]
    assert export.main(given) == 0
    assert out.stat().st_size > 1000


def test_a_loss_whose_last_digits_differ_is_the_same(folder: Path) -> None:
    stored = Score.from_json((folder / "score.json").read_text(encoding="utf-8"))

    def said(loss: float, size: int) -> str:
        measured = Measurement(loss=loss, accuracy=stored.accuracy, samples=stored.samples)
        return evaluation.comparison(measured, stored, size)

    near = stored.loss * (1 + 1e-8)
    assert said(stored.loss, stored.size_bytes) == "equals the stored score"
    assert said(near, stored.size_bytes).startswith("equals the stored score, but for rounding")
    assert said(near, stored.size_bytes + 1).startswith("differs from the stored score: loss is")
    assert said(stored.loss * 1.01, stored.size_bytes).startswith("differs from the stored score")
