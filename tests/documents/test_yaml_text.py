"""YAML from outside: plain values, and one clear error for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlquant.documents.yaml_text import MOST_BYTES, parse_yaml, read_yaml
from rlquant.errors import FileFormatError


def test_plain_values_are_read() -> None:
    text = "a: 1\nb: [x, 2.5, null, true]\nc: {d: 1e-5, e: 3E2, f: 2.3..6}\n"
    assert parse_yaml(text) == {
        "a": 1,
        "b": ["x", 2.5, None, True],
        "c": {"d": 1e-5, "e": 300.0, "f": "2.3..6"},
    }
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "it is not YAML (line 1"),
        ("a: &x 1\nb: *x", "line 2: *x is an alias"),
        ("a: !!python/object/apply:os.system [echo]", "python/object/apply"),
        ("a: 1\na: 2", "line 2: the key 'a' is there twice"),
        ("1: a", "line 1: the key 1 is no text"),
        ("[a]: 1", "the key ['a'] is no text"),
        ("a: 1\n---\nb: 2", "it is not YAML"),
        ("[" * 40 + "]" * 40, "more than 32 deep"),
        ("[" * 60_000, "more than 32 deep"),
        ("a: \x00", "it is not YAML"),
        ("a: 2001-99-99", "it is not YAML"),
    ],
)
def test_what_is_not_plain_is_refused(text: str, words: str) -> None:
    with pytest.raises(FileFormatError) as raised:
        parse_yaml(text)
    assert words in str(raised.value)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(FileFormatError, match="at most 65,536"):
        read_yaml(file)
