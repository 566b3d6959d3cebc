"""Additive times: found again where they hold, shared out without negative times."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlquant.profiling.additive import AdditiveTimes
from rlquant.profiling.clock import MOST_REPEATS, medians, times_in_turns

COUNTS = np.array([[0, 0], [2, 1], [2, 0], [0, 1], [1, 1], [1, 0]], float)


def test_what_layers_add_is_found() -> None:
    seconds = 10.0 + COUNTS @ np.array([-1.0, 3.0])
    times = AdditiveTimes.fit(COUNTS, seconds)
    assert times.float_total == pytest.approx(10.0)
    assert times.changes == pytest.approx([-1.0, 3.0])
    assert times.errors == pytest.approx([0.0, 0.0], abs=1e-9)
    assert times.predict(COUNTS) == pytest.approx(seconds)


def test_errors_tell_how_far_the_sums_are_off() -> None:
    draws = np.random.default_rng(0)
    seconds = (10.0 + COUNTS @ np.array([-1.0, 3.0])) * draws.normal(1.0, 0.05, len(COUNTS))
    times = AdditiveTimes.fit(COUNTS, seconds)
    off = np.abs(times.changes - [-1.0, 3.0])
    assert (off > 0).all()
    assert (off < 4 * times.errors).all()


@given(
    changes=st.lists(st.floats(-2.0, 5.0), min_size=3, max_size=3),
    work=st.lists(st.floats(1.0, 1e9), min_size=3, max_size=3),
)
def test_float_times_add_up_and_no_time_is_negative(
    changes: list[float], work: list[float]
) -> None:
    times = AdditiveTimes(20.0, np.array(changes), np.zeros(3))
    layers = np.array([1.0, 4.0, 2.0])
    shares = times.float_times(layers, np.array(work))
    assert layers @ shares == pytest.approx(20.0)
    assert (shares >= 0).all()
    assert (shares + times.changes >= -1e-12).all()


def test_a_slow_round_counts_no_more_than_others() -> None:
    taken = np.array([[1.0, 2.0], [1.0, 2.0], [10.0, 20.0], [1.1, 2.2]])
    assert medians(taken) == pytest.approx([1.05, 2.1])  # not up to ten times that


def test_tasks_take_turns_and_the_first_of_each_does_not_count() -> None:
    done: list[str] = []
    told: list[int] = []

    def task(name: str) -> None:
        done.append(name)
        time.sleep(0.002)

    taken = times_in_turns([lambda: task("a"), lambda: task("b")], 2, told.append)
    assert taken.shape == (2, 2)
    assert (taken > 0.0019).all()
    assert "".join(done) == "aabb" + "aabb" * 2
    assert told == [1, 2]


def test_short_tasks_run_several_times() -> None:
    done: list[int] = []
    taken = times_in_turns([lambda: done.append(1)], 1)
    assert len(done) == 2 + 1 + MOST_REPEATS
    assert 0 < taken[0, 0] < 1e-3


def test_without_multiplications_time_is_shared_equally() -> None:
    times = AdditiveTimes(6.0, np.zeros(2), np.zeros(2))
    assert times.float_times(np.array([1.0, 2.0]), np.zeros(2)) == pytest.approx([2.0, 2.0])
