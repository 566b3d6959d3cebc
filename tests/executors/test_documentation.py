"""docs/how-to/cluster.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rlquant_agents import api

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")


def test_the_code_on_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "opened", lambda executor: api.nullcontext())  # no process for this
    first, *others = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(first, "docs/how-to/cluster.md", "exec"), found)
    assert len(found["result"].history) == 12
    for block in others:  # they need a cluster
        compile(block, "docs/how-to/cluster.md", "exec")
