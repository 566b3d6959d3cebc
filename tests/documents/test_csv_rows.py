"""Rows and numbers of a CSV from outside, or the line that is wrong."""

from __future__ import annotations

import sys

import pytest

from rlquant.documents import csv_rows, named_rows, number, whole
from rlquant.errors import FileFormatError

csv_rows_module = sys.modules["rlquant.documents.csv_rows"]  # the function hides it


def test_rows_are_read_with_their_lines() -> None:
    assert list(csv_rows('a,b\n"x\ny",2\n')) == [(1, ["a", "b"]), (3, ["x\ny", "2"])]
    assert list(named_rows("a, b\n\n1, 2\n", ["a"], skip_spaces=True)) == [
        (3, {"a": "1", "b": "2"})
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1," + "x" * 200_000 + "\n", "line 2: field larger than field limit"),
        ("a,c\n", r"no column b; need \('a', 'b'\)"),
        ("", "no column a, b"),
        ("a,b,a\n1,2,3\n", "a column is there twice"),
        ("a,b\n1\n", "line 2: 1 fields, the header has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 fields, the header has 2"),
    ],
    ids=lambda text: text[:20],
)
def test_the_line_that_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        list(named_rows(text, ["a", "b"]))


def test_a_limit_that_other_code_raised_holds_nevertheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_rows_module, "MOST_FIELD", 3)
    with pytest.raises(FileFormatError, match="line 1: a field of over 3 letters"):
        list(csv_rows("abcd\n"))


@pytest.mark.parametrize("text", ["\n" * 2**21, "," * 2**25], ids=["lines", "fields"])
def test_endless_tables_are_refused_at_once(text: str) -> None:
    with pytest.raises(FileFormatError, match=r"over 1,048,576 lines or 16,777,216 fields"):
        list(csv_rows(text))


def test_numbers_lie_in_their_range() -> None:
    assert whole(" 8", "bits", 1, 32) == 8
    assert number("1e-3", "seconds", 0, 10) == 0.001
    for text in ("", "0", "33", "1.0", "x", "9" * 5000):
        with pytest.raises(FileFormatError, match=r"^bits=.*, use a whole number from 1 to 32$"):
            whole(text, "bits", 1, 32)
    for text in ("", "nan", "inf", "-1", "11", "x", "9" * 5000):
        with pytest.raises(FileFormatError, match=r"^seconds=.*, use a number from 0 to 10$"):
            number(text, "seconds", 0, 10)
