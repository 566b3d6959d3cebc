"""scripts/reproduce.py, the real one, at its tiniest."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant_experiments.commands import reproduce
from rlquant_experiments.reproduction.gupta import measured_run


def tiny(folder: Path, *more: str) -> list[str]:
    places = ["--out", str(folder / "results"), "--work", str(folder / "work")]
    return ["gupta", "--preset", "tiny", "--no-progress", *places, *more]


def test_it_runs_reports_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reproduce.main(tiny(tmp_path)) == 0
    shown = capsys.readouterr().out
    for claim in ("G1", "G2", "G3", "G4", "G5", "G6"):
        assert f"{claim}  " in shown
    report = tmp_path / "results" / "gupta.md"
    text = report.read_text("utf-8")
    assert "python scripts/reproduce.py gupta --preset tiny" in text
    assert text.count("\n## ") == 8
    assert (tmp_path / "results" / "gupta.png").stat().st_size > 20_000
    assert "train_losses" not in (tmp_path / "results" / "gupta.csv").read_text()

    monkeypatch.setattr(measured_run, "train_fixed_point", None)  # nothing is trained again
    assert reproduce.main(tiny(tmp_path)) == 0
    again = report.read_text("utf-8")
    assert again == text


def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measured_run, "train_fixed_point", interrupt)
    assert reproduce.main(tiny(tmp_path)) == 130
    assert f"the same command goes on from {tmp_path / 'work'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gutpa"], "did you mean 'gupta'"),
        (["gupta", "--seeds", "0"], "seeds=0"),
        (["gupta", "--threads", "0"], "use at least 1"),
        (["gupta", "--device", "cdua"], "device 'cdua' cannot be used"),
    ],
)
def test_wrong_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert reproduce.main([*arguments, "--out", str(tmp_path), "--work", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error


def test_help_explains(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        reproduce.main(["--help"])
    shown = capsys.readouterr().out
    for words in ("which paper", "--preset", "--seeds", "--out", "--device", "--threads"):
        assert words in shown


def test_assignments_are_reproduced_in_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["assignment", *tiny(tmp_path)[1:]]
    assert reproduce.main(arguments) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[:-1]] == [f"A{n}" for n in range(1, 7)]
    text = (tmp_path / "results" / "assignment.md").read_text("utf-8")
    assert "across layers - relaxation" in text
    assert (tmp_path / "results" / "assignment.png").stat().st_size > 20_000
