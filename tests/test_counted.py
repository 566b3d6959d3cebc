"""One thing is not said in the plural, anywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rlquant.counted import counted

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (12000, "12,000 layers")],
)
def test_the_noun_follows_the_number(number: int, said: str) -> None:
    assert counted(number, "layer") == said


def test_messages_count_evaluations_and_layers_by_it() -> None:
    by_hand = re.compile(r"\{[^{}]+\} (?:evaluations|layers)\b")
    found = {
        f"{file.relative_to(ROOT)}: {match}"
        for folder in ("rlquant", "agents", "envs")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "rendering.py"  # "0 of 1 layers decided"
        for match in by_hand.findall(file.read_text("utf-8"))
    }
    assert not found
