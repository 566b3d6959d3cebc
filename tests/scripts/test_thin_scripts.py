"""Scripts that are commands of `rlquant` work as they did before there was one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("name", ["search", "report", "train_agent", "profile_latency"])
def test_a_script_is_its_command(name: str) -> None:
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"usage: rlquant {name.replace('_', '-')} " in ran.stdout
