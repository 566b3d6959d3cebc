"""The code on pages for users of other libraries runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import optuna
import pytest

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def names_after(page: str) -> dict[str, Any]:
    """Run the blocks of a page one after another."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", (HOW_TO / page).read_text("utf-8"), re.S):
        exec(compile(block, f"docs/how-to/{page}", "exec"), found)
    return found


def test_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = names_after("optuna.md")
    assert (tmp_path / "model.rlq").stat().st_size == found["best"]["size_bytes"]
    assert found["best"]["average_bits"] <= 3.0
    trials = {
        s.study_name: s.n_trials for s in optuna.get_all_study_summaries("sqlite:///study.db")
    }
    assert trials["mine"] == 20
    assert trials["by-search"] >= len(found["result"].history)  # some are asked for again


def test_libraries_of_reinforcement_learning() -> None:
    found = names_after("rl-libraries.md")
    assert len(found["found"]) == 8 * 50 // (2 * 5)  # two decisions for each of five groups
    assert found["score"].average_bits <= 3.0
    assert found["agent"].num_timesteps >= 128
