"""Axes: what is shown lies within, and the numbers are round."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlquant_agents.reporting.scales import MOST_TICKS, scale_of

NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5)
POSITIVE = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=5)


@given(NUMBERS)
@example([-1.7e308, 1.7e308])
@example([0.5, 1e308])
@example([1 / 3])
@example([0.0, 5e-324])
@example([1e9, math.nextafter(1e9, 2e9)])
def test_everything_lies_within_a_plain_axis(values: list[float]) -> None:
    scale = scale_of(values, 70, 700)
    assert all(70 <= scale.place(value) <= 700 for value in values)
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks())
    assert 1 <= len(scale.ticks()) <= MOST_TICKS + 2


@given(POSITIVE)
@example([1e-100, 0.5, 1e100, 1.7e308])
@example([127.0, 1.0000000000000003e-09, 1e-09])
def test_everything_lies_within_a_logarithmic_axis(values: list[float]) -> None:
    scale = scale_of(values, 346, 14, log=True)
    assert scale.log
    assert all(14 <= scale.place(value) <= 346 for value in values)
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places, reverse=True)
    assert 1 <= len(scale.ticks()) <= MOST_TICKS + 2


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([0.0, 10.0], False, [0, 2, 4, 6, 8, 10]),
        ([1, 60], False, [0, 10, 20, 30, 40, 50, 60]),
        ([0.05, 0.25], True, [0.05, 0.1, 0.2]),
        ([1e-3, 1e3], True, [1e-3, 1e-2, 1e-1, 1, 10, 100, 1000]),
        ([2.0, 3.0], True, [2.0, 2.2, 2.4, 2.6, 2.8, 3.0]),
    ],
)
def test_numbers_are_round(values: list[float], log: bool, ticks: list[float]) -> None:
    assert scale_of(values, 0, 1, log=log).ticks() == pytest.approx(ticks)


def test_what_is_not_positive_or_not_finite_makes_a_plain_axis() -> None:
    assert not scale_of([0.0, 1.0], 0, 1, log=True).log
    assert not scale_of([5e-324, 1.0], 0, 1, log=True).log
    scale = scale_of([math.inf, math.nan], 0, 1, log=True)
    assert (scale.low, scale.high) == pytest.approx((-0.05, 1.05))
    assert scale_of([3.0, math.inf], 0, 1).place(math.inf) == 1


def test_one_number_lies_in_the_middle() -> None:
    assert scale_of([5.0], 0, 100).place(5.0) == pytest.approx(50)
    assert scale_of([0.0], 0, 100).place(0.0) == pytest.approx(50)
    assert scale_of([5.0], 0, 100, log=True).place(5.0) == pytest.approx(50)
