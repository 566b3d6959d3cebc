"""docs/tutorial.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_runs_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.S):
        exec(compile(block, "docs/tutorial.md", "exec"), names)
    assert (tmp_path / "model.rlq").stat().st_size == names["result"].score.size_bytes
    assert names["result"].score.average_bits <= 3.0
    assert names["result"].score.loss < names["uniform"].score.loss
