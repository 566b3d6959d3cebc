"""One tiny experiment from end to end, which `make test` runs as well: a comparison on a table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rlquant.tabular.table_file import write_table
from rlquant.testing import random_table
from rlquant_experiments.commands import compare


def test_a_comparison_on_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, report = tmp_path / "small.rlt", tmp_path / "docs" / "small.md"
    write_table(random_table(4, seed=3), table)
    arguments = ["--table", str(table), "--budgets", "3", "--evaluations", "12", "--seeds", "2"]
    arguments += ["--searchers", "random", "local-swap"]
    arguments += ["--out", str(tmp_path / "runs"), "--report", str(report)]
    assert compare.main(arguments) == 0
    printed, written = capsys.readouterr().out, report.read_text(encoding="utf-8")
    assert f"whole report: {report}" in printed
    table_printed = printed[printed.index("| searcher") : printed.index("\n\nwhole report")]
    assert table_printed in written
    assert report.with_name("small-3.0.png").stat().st_size > 10_000
    rows = list(csv.DictReader(report.with_suffix(".csv").read_text().splitlines()))
    assert [(row["searcher"], row["seed"]) for row in rows] == [
        *(("random", "0"), ("random", "1"), ("local-swap", "0"), ("local-swap", "1"))
    ]
    assert all(float(row["loss"]) >= float(row["optimum"]) for row in rows)
