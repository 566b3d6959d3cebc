"""scripts/fuzz.py, the real one: a campaign of seconds, and settings that make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant_experiments.commands import fuzz

QUICK = ("episodes", "damaged-files", "crash-points")


def test_a_tiny_campaign_finds_nothing_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    given = ["--only", *QUICK, "--trials", "1", "--workers", "1", "--no-progress"]
    code = fuzz.main([*given, "--out", str(tmp_path / "out"), "--report", str(page)])
    shown = capsys.readouterr().out
    assert "3 trials in" in shown, shown
    assert "0 findings of 0 kinds" in shown, shown
    assert code == 0
    text = page.read_text(encoding="utf-8")
    assert "No findings." in text
    assert all(f"| {name} |" in text for name in QUICK)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--only", "unheard"], "unknown part 'unheard'"),
        (["--trial", "3"], "name it with --only"),
        (["--minutes", "nan"], "--minutes above 0"),
        (["--workers", "0"], "--workers and --trials from 1"),
    ],
)
def test_settings_that_make_no_sense(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert fuzz.main([*given, "--out", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err
