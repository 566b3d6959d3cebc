"""The progress bar of a training run."""

from __future__ import annotations

import pytest

from rlquant_agents import TrainingProgressBar

FIGURES = {"loss": 0.25, "steps_left": 30.0}


def test_it_shows_steps_and_loss(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgressBar("ternary") as bar:
        assert bar(10, FIGURES) is None  # never ends a run
        bar(40, {"loss": 0.125, "steps_left": 0.0})
    shown = capsys.readouterr().err
    assert "ternary" in shown
    assert "40/40" in shown
    assert "loss 0.1250" in shown


def test_it_can_be_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgressBar("ternary", shown=False) as bar:
        bar(10, FIGURES)
    assert capsys.readouterr().err == ""


def test_a_run_that_never_began_is_closed_too() -> None:
    with TrainingProgressBar("ternary"):
        pass
