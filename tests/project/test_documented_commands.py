"""Commands in README and docs can be pasted: their flags exist, and README's run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlquant_agents.cli.command_line import parse
from rlquant_agents.cli.completion import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = [page for page in (ROOT / "docs").rglob("*.md") if "results" not in page.parts]
BLOCK = re.compile(r"```console\n(.*?)```", re.S)


def commands(page: Path) -> Iterator[str]:
    """Yield the lines of a page that are to be pasted, without their comments."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield re.sub(r"\s+#.*", "", line.removeprefix("$ "))


DOCUMENTED = sorted(
    {(page.name, line) for page in [ROOT / "README.md", *DOCS] for line in commands(page)}
)
OURS = re.compile(r"(?:\S*/)?rlquant ([a-z-]+) (.*)")


@pytest.mark.parametrize(("page", "line"), DOCUMENTED)
def test_documented_flags_exist(page: str, line: str) -> None:
    found = OURS.fullmatch(line)
    if found is None or found[1] not in SETTINGS:
        return
    settings: Any = SETTINGS[found[1]]
    words = shlex.split(found[2])
    if "--config" in words:  # its file is of the page alone
        place = words.index("--config")
        del words[place : place + 2]
    parse(settings, words)


@pytest.mark.slow
def test_the_commands_of_readme_run_as_they_stand(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    (clone / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "rlquant"):  # as `make` leaves them, without installing again
        program = clone / ".venv" / "bin" / name
        module = "" if name == "python" else " -m rlquant"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{module} "$@"\n')
        program.chmod(0o755)
    for ready in (".ready-run", ".ready-dev"):
        (clone / ".venv" / ready).touch()
    environment = {**os.environ, "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    lines = list(commands(ROOT / "README.md"))
    assert lines
    for line in lines:
        ran = subprocess.run(
            ["bash", "-c", line], cwd=clone, env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, (line, ran.stderr[-2000:])
