"""The order in which configurations share most."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from rlquant.evaluation.order import sharing_order


def computed(rows: list[str], order: list[int]) -> int:
    """How many pieces are run if only the path of the configuration before is kept."""
    total, before = 0, ""
    for place in order:
        row = rows[place]
        agreed = next((i for i, (a, b) in enumerate(zip(row, before)) if a != b), len(before))  # noqa: B905
        total += len(row) - agreed
        before = row
    return total


@given(rows=st.lists(st.text("abc", min_size=4, max_size=4), max_size=20))
def test_each_distinct_prefix_is_computed_once(rows: list[str]) -> None:
    order = sharing_order(rows)
    assert sorted(order) == list(range(len(rows)))
    distinct = {row[:length] for row in rows for length in range(1, 5)}
    assert computed(rows, order) == len(distinct)


def test_the_largest_subtree_comes_last() -> None:
    rows = ["aa", "ab", "ac", "ba", "ca", "cb"]
    assert [rows[i] for i in sharing_order(rows)] == ["ba", "ca", "cb", "aa", "ab", "ac"]


def test_the_reference_of_a_sensitivity_pass_is_its_last_branch() -> None:
    base = "0000"
    rows = [base, *(base[:i] + o + base[i + 1 :] for i in range(4) for o in "12")]
    ordered = [rows[i] for i in sharing_order(rows)]
    firsts = [next(iter(g)) for _, g in itertools.groupby(ordered, key=lambda row: row[0])]
    assert [row[0] for row in firsts] == ["1", "2", "0"]


def test_the_order_depends_on_the_rows_alone() -> None:
    rows = [f"{a}{b}{c}" for a in "012" for b in "012" for c in "012"]
    again = [[rows[i] for i in sharing_order(rows)] for _ in range(2)]
    assert again[0] == again[1]
    random.Random(0).shuffle(rows)
    assert computed(rows, sharing_order(rows)) == 3 + 9 + 27
