"""Proposed commands name the program as the shell finds it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlquant_agents.cli import hints


def installed(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (folder / name).chmod(0o755)


def test_an_active_environment_needs_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "bin", "python", "rlquant")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert (hints.python(), hints.rlquant()) == ("python", "rlquant")


def test_without_it_the_interpreter_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "my tools" / "bin", "python", "rlquant")
    installed(tmp_path / "other", "python", "rlquant")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my tools" / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path)
    assert hints.python() == "'my tools/bin/python'"
    assert hints.rlquant() == "'my tools/bin/python' -m rlquant"
