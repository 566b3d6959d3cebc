"""Results of searches, found again by their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlquant_agents.cli.saved_result import SavedResult


@pytest.mark.parametrize(
    ("asked", "base"),
    [
        ({"model": "transformers:mine", "task": "digits/mlp"}, "transformers:mine"),
        ({"model": None, "task": "digits/mlp"}, "digits/mlp"),
        (None, "transformers:/somewhere/mine"),
        ({"model": 3}, "transformers:/somewhere/mine"),
    ],
)
def test_the_base_is_named_as_it_was_asked_for(tmp_path: Path, asked: object, base: str) -> None:
    (tmp_path / "model.rlq").write_bytes(b"")
    document = {"task": "transformers:/somewhere/mine", "asked": asked}
    (tmp_path / "settings.json").write_text(json.dumps(document))
    found = SavedResult.of(tmp_path, None)
    assert (found.source.task, found.base) == ("transformers:/somewhere/mine", base)
    assert SavedResult.of(tmp_path, "digits/cnn").base == "digits/cnn"
