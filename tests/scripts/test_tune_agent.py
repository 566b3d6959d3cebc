"""The real script, tiny: it tunes the model-based agent, judges it, goes on, and refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlquant.tabular.random_table import random_table
from rlquant.tabular.table_file import write_table
from rlquant_agents.comparison_progress import RunsBar

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import tune_agent


def tiny(folder: Path, *more: str) -> list[str]:
    for name, seed in (("seen", 1), ("apart", 2)):
        write_table(random_table(3, 4, 0.5, seed), folder / f"{name}.rlt")
    plain = ["--tables", str(folder / "seen.rlt"), "--held-out", str(folder / "apart.rlt")]
    plain += ["--fixed", "agent=fresh", "rollouts=0", "environments=32", "--budgets", "3"]
    plain += ["--evaluations", "6", "--trials", "2", "--seeds", "1", "--judge-seeds", "2"]
    return [*plain, "--out", str(folder / "out"), *more]


def test_it_tunes_judges_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = tiny(tmp_path)
    assert tune_agent.main(arguments) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert text in capsys.readouterr().out
    for words in (
        f"python scripts/tune_agent.py {' '.join(arguments)}",
        "2 trials",
        "0 (shipped)",
        "No table that comes with rlquant",
        "won the search",
    ):
        assert words in text
    assert (tmp_path / "out" / "search.png").stat().st_size > 10_000
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "trials").rglob("*.json")}
    assert tune_agent.main(tiny(tmp_path, "--trials", "3")) == 0
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "trials").rglob("*.json")}
    assert (len(before), len(after)) == (2, 3)
    assert before.items() <= after.items()
    assert "3 trials" in (tmp_path / "out" / "report.md").read_text()


def test_an_interrupted_tuning_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunsBar, "on_evaluation", interrupt)
    assert tune_agent.main(tiny(tmp_path)) == 130
    assert f"goes on from {tmp_path / 'out'}" in capsys.readouterr().err


def test_wrong_input_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_agent.main(tiny(tmp_path, "--fixed", "agent=stale")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "agent='stale', use one of ('pretrained', 'fresh')" in error
    assert not (tmp_path / "out").exists()
