"""scripts/compare_fidelities.py, the real one, tiny."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import compare_fidelities


def test_it_measures_reports_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "out" / "fidelities.md"
    arguments = ["--task", "digits/mlp", "--configs", "5", "--epochs", "1"]
    arguments += ["--report", str(report), "--store", str(tmp_path / "evaluations.sqlite")]
    assert compare_fidelities.main(arguments) == 0
    shown = capsys.readouterr().out
    text = report.read_text()
    for pair in ("calibrated and tuned", "calibrated and trained", "tuned and trained"):
        assert f"| {pair} | 5 |" in shown
        assert f"| {pair} | 5 |" in text
    assert "python scripts/compare_fidelities.py --task digits/mlp" in text
    assert len(report.with_suffix(".csv").read_text().splitlines()) == 6
    assert report.with_suffix(".png").stat().st_size > 10_000
    assert compare_fidelities.main(arguments) == 0  # from the store
    assert report.read_text() == text


def test_wrong_input_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = ["--task", "digits/mlp", "--report", str(tmp_path / "r.md")]
    assert compare_fidelities.main([*plain, "--configs", "2"]) == 2
    assert "at least 4" in capsys.readouterr().err
