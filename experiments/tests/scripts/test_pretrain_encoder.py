"""scripts/pretrain_encoder.py: from nothing to the report, and again without measuring anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant_experiments.commands import pretrain_encoder
from rlquant_experiments.landscapes import measuring, training
from rlquant_experiments.landscapes.networks import SmallNetwork

TINY = (SmallNetwork("resnet", 1, 4, 1), SmallNetwork("mobilenet", 1, 4, 2))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks, hardly trained, few gradients."""
    monkeypatch.setattr(pretrain_encoder, "NETWORKS", TINY)
    monkeypatch.setattr(training, "STEPS", 40)
    monkeypatch.setattr(training, "SAMPLES", {"images": 16})
    monkeypatch.setattr(measuring, "DRAWS", 4)
    monkeypatch.setattr(measuring, "FISHER_SAMPLES", 4)


def test_report_is_made_and_made_again(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "policy"
    arguments = ["--folder", str(folder), "--networks", "2", "--a-budget", "5", "--seeds", "1"]
    arguments += ["--updates", "1", "--steps", "10", "--no-progress"]
    assert pretrain_encoder.main(arguments) == 0
    report = (folder / "layer-policy.md").read_text()
    assert "resnet-1x4" in report
    assert "imitation + RL against imitation" in report
    assert "layer-policy.md" in capsys.readouterr().out
    monkeypatch.setattr(training, "STEPS", None)  # nothing is trained again
    assert pretrain_encoder.main(arguments) == 0
    again = (folder / "layer-policy.md").read_text()
    assert again.split("torch")[1] == report.split("torch")[1]


def test_a_single_network_is_too_few(capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain_encoder.main(["--networks", "1"]) == 1
    assert "--networks" in capsys.readouterr().err
