"""The examples run, at small sizes, and keep their budgets."""

from __future__ import annotations

import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("name", "arguments", "package"),
    [
        ("minimal_search.py", ["6"], None),
        ("masked_ppo.py", ["--total-steps", "512", "--num-steps", "32"], None),
        ("optuna_sampler.py", ["12"], None),
        ("hf_trainer.py", ["2", "1"], "accelerate"),
        ("lightning_module.py", ["2"], "lightning"),
    ],
)
@pytest.mark.filterwarnings("default")  # of libraries that are not ours
def test_it_runs_and_prints_what_it_found(
    name: str,
    arguments: list[str],
    package: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if package is not None and find_spec(package) is None:
        pytest.skip(f"{name} needs {package}, which no extra of rlquant installs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(HERE / name), run_name="__main__")
    assert re.search(r"\{'.*': \D*\d.*loss \d\.\d+", capsys.readouterr().out, re.S)
