"""JSON from outside is plain data within bounds, or one clear error."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.documents import parse_json, read_json
from rlquant.errors import FileFormatError

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # surrogates are no characters
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abä\0"), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(plain)
def test_what_python_writes_comes_back(document: Any) -> None:
    assert parse_json(json.dumps(document)) == document
    assert parse_json(json.dumps(document, ensure_ascii=False)) == document


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[1] [2]", "it is not JSON"),
        ("\ufeff[]", "it is not JSON"),
        ("[\x00]", "it is not JSON"),
        ("[NaN]", "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number of JSON"),
        ("[1e999]", "1e999 is too large"),
        ("[-1e999]", "-1e999 is too large"),
        ("9" * 301, "a whole number has 301 digits, use at most 300"),
        ("9" * 100_000, "a whole number has 100,000 digits"),
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' stands there twice"),
        ('{"' + "k" * 10_000 + '": 1, "' + "k" * 10_000 + '": 1}', "stands there twice"),
        (r'["\ud800"]', "half a surrogate pair"),
        (r'{"\udfff": 1}', "half a surrogate pair"),
        ("[" * 33 + "]" * 33, "more than 32 deep in each other"),
        ("[" * 100_000, "more than 32 deep in each other"),
        ('{"a":' * 100_000, "more than 32 deep in each other"),
        ("[" * 500 + "]" * 500, "more than 32 deep in each other"),
    ],
    ids=lambda text: text[:20],
)
def test_what_later_steps_could_not_rely_on_is_refused(text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        parse_json(text)
    assert len(str(caught.value)) <= 500


def test_the_bounds_themselves_are_taken() -> None:
    assert parse_json("9" * 300) == 10**300 - 1
    assert parse_json("[" * 32 + "]" * 32) is not None
    assert parse_json(r'["\ud83d\ude00"]') == ["😀"]


@pytest.mark.parametrize("value", ["[]", "1", "0.5", '"a"', '{"a":1}'])
def test_a_full_document_takes_less_than_two_seconds(value: str) -> None:
    each = 1 + sum(map(value.count, "[{,"))
    text = "[" + f"{value}," * (2**19 // each - 1) + f"{value}]"
    begun = time.process_time()
    parse_json(text)
    assert time.process_time() - begun < 2
    with pytest.raises(FileFormatError, match="it holds more than 524,288 values"):
        parse_json(text.replace("]", ",1,1,1]"))


def test_a_file_has_at_most_sixteen_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + " " * 2**24 + "]")
    with pytest.raises(FileFormatError, match="at most 16,777,216"):
        read_json(path)
