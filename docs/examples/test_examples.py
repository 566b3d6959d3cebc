"""The examples run, at small sizes, and keep their budgets."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("minimal_search.py", ["6"]),
        ("masked_ppo.py", ["--total-steps", "1024", "--num-steps", "32"]),
        ("optuna_sampler.py", ["12"]),
    ],
)
def test_it_runs_and_prints_what_it_found(
    name: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(HERE / name), run_name="__main__")
    assert re.search(r"\{'.*'classifier': .*loss 0\.\d+", capsys.readouterr().out, re.S)
