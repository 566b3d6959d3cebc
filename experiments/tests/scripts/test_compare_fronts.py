"""The comparison of fronts as a person runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant_experiments.commands import compare_fronts

SMALL = ["--evaluations", "24", "--seeds", "1", "--ways", "nsga2", "random, split"]


def test_tables_are_compared_and_a_second_run_reads_what_was_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "results" / "fronts.md"
    arguments = ["--tables", "digits-mlp", *SMALL, "--out", str(tmp_path / "runs")]
    assert compare_fronts.main([*arguments, "--report", str(report)]) == 0
    shown = capsys.readouterr().out
    assert "# Fronts between 2.3 and 6 average bits" in shown
    assert "(fronts.png)" in report.read_text()
    assert report.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}
    assert len(kept) == 1 + 6
    assert compare_fronts.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_two_processes_find_what_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = []
    for workers in ("1", "2"):
        out = ["--workers", workers, "--out", str(tmp_path / workers)]
        assert compare_fronts.main(["--tables", "digits-mlp", *SMALL, *out]) == 0
        shown = capsys.readouterr().out
        tables.append([line for line in shown.splitlines() if line.startswith("|")])
    assert tables[0] == tables[1]


def test_a_live_task_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--task", "digits/mlp", *SMALL, "--out", str(tmp_path / "runs" / "live")]
    assert compare_fronts.main(arguments) == 0
    assert "1 problems" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ways", "magic"], "--ways 'magic'"),
        (["--lowest", "6", "--highest", "3"], "the smaller one first"),
        (["--quantity", "bops"], "--quantity"),
        (["--seeds", "0"], "--seeds"),
        (["--workers", "0"], "--workers"),
        (["--evaluations", "3"], "--evaluations"),
    ],
)
def test_what_cannot_be_compared_is_refused_early(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    given = ["--tables", "digits-mlp", *arguments, "--out", str(out)]
    assert compare_fronts.main(given) == 1
    assert words in capsys.readouterr().err
    assert not out.exists()
