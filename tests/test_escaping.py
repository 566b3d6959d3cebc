"""Names from outside stay names, wherever they are shown."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.escaping import csv_cell, csv_text, markdown_cell, markdown_table, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv1", "conv1"),
        ("größe 漢字 🙂", "größe 漢字 🙂"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\rb\x08\x00\x7f\x9b", r"a\rb\x08\x00\x7f\x9b"),
        ("a\u202eb\u2028", r"a\u202eb\u2028"),
        ("\udcff", r"\udcff"),
        ("a\nb\tc", r"a\nb\tc"),
    ],
)
def test_what_would_do_something_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_stay_lines_where_there_may_be_several() -> None:
    assert printable("a\nb\tc\x1b\r", lines=True) == "a\nb\tc\\x1b\\r"


@given(st.text(st.characters()))
def test_a_printable_text_is_one_line_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert len(f"{shown}.".splitlines()) == 1
    assert printable(shown) == shown
    shown.encode()


@given(st.lists(st.text(st.characters()), min_size=2, max_size=2))
def test_a_table_of_markdown_keeps_its_shape(cells: list[str]) -> None:
    head, mark, row = markdown_table(["a", "b"], [cells], "lr").split("\n")
    assert (head, mark) == ("| a | b |", "| --- | ---: |")
    assert row.replace(r"\|", "").count("|") == 3
    assert "<" not in row


def test_emphasis_in_cells_stays() -> None:
    assert markdown_cell("**best** `x`") == "**best** `x`"
    assert markdown_cell("a|b\n<img src=x>") == r"a\|b\n&lt;img src=x>"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(begin: str) -> None:
    cell = csv_cell(f"{begin}cmd|' /C calc'!A0")
    assert cell[0] in "'\\"


@pytest.mark.parametrize("value", [-1.5, "-1.5", "+3", 1e-9, -math.inf, math.nan, 7, True])
def test_numbers_stay_numbers(value: object) -> None:
    assert csv_cell(value) == str(value)


def test_rows_are_read_as_they_were_written() -> None:
    rows = [["name", "loss"], ['a,"b"', -0.5], [None, ""]]
    assert list(csv.reader(io.StringIO(csv_text(rows)))) == [
        ["name", "loss"],
        ['a,"b"', "-0.5"],
        ["", ""],
    ]


@given(st.text(st.characters()))
def test_a_cell_that_is_written_again_stays_as_it_is(text: str) -> None:
    assert csv_cell(csv_cell(text)) == csv_cell(text)
