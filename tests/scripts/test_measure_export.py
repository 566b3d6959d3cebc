"""scripts/measure_export.py, a tiny real run: predicted bytes are the real ones, files agree."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import measure_export


def test_a_task_is_packed_exported_and_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "export.md"
    tiny = ["--tasks", "digits/mlp", "--evaluations", "3", "--seconds", "0.05", "--no-progress"]
    assert measure_export.main([*tiny, "--report", str(report)]) == 0
    assert "1 tasks" in capsys.readouterr().out
    with open(tmp_path / "export.csv", newline="") as stream:
        rows = {row["network"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"float", "2 bits", "3 bits", "4 bits", "8 bits", "searched"}
    for name, row in rows.items():
        assert float(row["ms_batch_1"]) > 0
        assert float(row["ms_batch_64"]) > 0
        if name != "float":
            assert row["predicted_bytes"] == row["rlq_bytes"]
            assert int(row["coded_bytes"]) <= int(row["rlq_bytes"])
            assert float(row["agreement"]) > 0.97
            assert float(row["onnx_loss"]) == pytest.approx(float(row["loss"]), rel=0.02)
    assert float(rows["searched"]["average_bits"]) <= 3.0
    text = report.read_text()
    assert "the same in all 5" in text
    assert "scripts/measure_export.py" in text
    assert (tmp_path / "export.png").stat().st_size > 5_000


def test_wrong_settings_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--evaluations", "0"], ["--tasks", "digits/mpl"]):
        assert measure_export.main([*wrong, "--report", str(tmp_path / "r.md")]) == 2
        assert capsys.readouterr().err.startswith("error: ")
