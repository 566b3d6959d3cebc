"""The real script, tiny: tables, weights and a report, and an interruption it goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant_agents.searchers.dyna_ppo.pretrained import read_pretrained
from rlquant_experiments.commands import pretrain_agent


def run(folder: Path, *more: str) -> int:
    arguments = ["--networks", "1", "--first", "1030", "--guided", "1", "--updates", "1"]
    arguments += ["--episodes", "2", "--tables", "digits-mlp", "--budgets", "3.0"]
    arguments += ["--folder", str(folder), "--no-progress"]
    return pretrain_agent.main([*arguments, *more])


def test_it_makes_tables_trains_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, weights = tmp_path / "folder", tmp_path / "new" / "weights.safetensors"
    report = tmp_path / "docs" / "pretrained.md"
    assert run(folder, "--weights", str(weights), "--report", str(report)) == 0
    assert [path.name for path in (folder / "tables").iterdir()] == ["digits-mlp-1030.rlt"]
    made = read_pretrained(weights)[0]["made"]
    assert made["command"].startswith("python scripts/pretrain_agent.py --net")
    assert "| digits-mlp | 3 |" in report.read_text()
    assert f"weights in {weights}, report in {report}" in capsys.readouterr().out
    assert run(folder) == 0  # nothing is trained again
    assert (folder / "pretrained.md").exists()
    assert run(folder, "--hidden", "8") == 1
    assert "a training with other settings" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            "rlquant_experiments.pretraining.pretrain.play", interrupted
        )  # in the middle of the first round
        assert run(tmp_path) == 130
    assert "interrupted after 0 rounds; the same command goes on" in capsys.readouterr().err
    assert run(tmp_path) == 0


def test_help_explains_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pretrain_agent.main(["--help"])
    assert "rounds of imitation" in capsys.readouterr().out
