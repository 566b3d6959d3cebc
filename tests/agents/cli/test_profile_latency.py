"""`rlquant profile-latency` and a search under its table: a network that runs within the limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlquant_agents.cli import profile_latency, search


def test_a_table_is_measured_and_a_search_keeps_its_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    command = ["--task", "digits/mlp", "--rounds", "20", "--no-progress", "--out", str(table)]
    assert profile_latency.main(command) == 0
    said = capsys.readouterr().out
    assert "8 bits" in said
    assert "predicted with a mean error of" in said
    report = table.with_suffix(".md").read_text()
    assert "rlquant profile-latency --task digits/mlp" in report
    assert table.with_suffix(".png").stat().st_size > 5_000
    limit = 100 * 1e-3  # far above what it takes: the machine of a test may be busy
    found = search.main(
        [
            *("--task", "digits/mlp", "--quantity", "latency", "--latency-table", str(table)),
            *("--budget", str(limit), "--target", "onnxruntime-int8", "--evaluations", "4"),
            *("--searcher", "random", "--baselines", "--no-progress", "--out", str(tmp_path / "r")),
        ]
    )
    assert found == 0
    said = capsys.readouterr().out
    assert "bytes for onnxruntime" in said
    assert "within the limit of 100 ms" in said
    assert (tmp_path / "r" / "model.onnx").stat().st_size > 1_000
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert {layer.get("activation_bits") for layer in config["layers"]} <= {None, 8}


def test_wrong_settings_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--batch", "0"], ["--task", "digits/mpl"]):
        command = ["--task", "digits/mlp", "--out", str(tmp_path / "t.csv"), *wrong]
        assert profile_latency.main(command) == 1
        assert capsys.readouterr().err.startswith("error: ")
