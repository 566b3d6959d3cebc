"""Estimates by hand, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant.errors import DataError
from rlquant_experiments.comparison.statistics.statistics import (
    Estimate,
    Values,
    crossed_estimate,
    estimate,
    improvement,
    improvement_estimate,
    interquartile_mean,
    mean,
)


def values(*rows: tuple[float, ...]) -> Values:
    return np.array(rows, dtype=np.float64)


def test_means_by_hand() -> None:
    of = values((1, 10), (2, 30), (3, 50), (102, 70))
    assert mean(of) == (108 + 160) / 8
    # of the eight in order, 1 2 3 10 30 50 70 102, two are left out at each end
    assert interquartile_mean(of) == (3 + 10 + 30 + 50) / 4
    assert interquartile_mean(values((1, 2), (6, 100), (3, 4))) == (2 + 3 + 4 + 6) / 4
    both = np.stack([of, of + 1])
    assert mean(both).tolist() == [33.5, 34.5]
    assert interquartile_mean(both).tolist() == [23.25, 24.25]


def test_a_single_run_is_its_own_estimate() -> None:
    assert estimate(values((0.25,))) == Estimate(0.25, 0.25, 0.25)
    assert estimate(values((0.25,))).words() == "0.250"


def test_seeds_are_drawn_within_strata_and_not_across() -> None:
    # two strata that differ by far more than their seeds do: only the seeds make the interval
    of = values((0.0, 100.0), (1.0, 101.0))
    found = estimate(of)
    assert found.value == 50.5
    assert (found.low, found.high) == (50.0, 51.0)


def test_an_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    inside = []
    for _ in range(200):
        strata = np.array([0.2, 0.5, 1.0])
        found = estimate(strata + generator.normal(0, 0.1, size=(20, 3)))
        inside.append(found.low <= strata.mean() <= found.high)
    # 95 % less a little for twenty seeds; the standard error of the share is 1.6 %
    assert 0.89 <= np.mean(inside) <= 0.99


def test_intervals_are_the_same_each_time() -> None:
    of = np.random.default_rng(0).random((10, 4))
    assert estimate(of, interquartile_mean) == estimate(of, interquartile_mean)


def test_pairs_have_a_narrower_interval_than_what_they_share() -> None:
    generator = np.random.default_rng(1)
    shared = generator.normal(0, 1, size=(20, 3))
    ours, theirs = shared, shared + 0.1
    found = estimate(ours - theirs)
    assert found.value == pytest.approx(-0.1)
    assert found.high < 0
    assert estimate(ours).low < estimate(theirs).value < estimate(ours).high


def test_of_seeds_and_images_both_are_drawn_again() -> None:
    rows = values((0, 0), (1, 1))  # only the seeds differ
    assert crossed_estimate(rows) == Estimate(0.5, 0.0, 1.0)
    assert crossed_estimate(rows.T) == Estimate(0.5, 0.0, 1.0)
    assert crossed_estimate(values((2, 2), (2, 2))) == Estimate(2.0, 2.0, 2.0)
    with pytest.raises(DataError, match="give one number per seed and stratum"):
        crossed_estimate(np.zeros(3))


def test_the_interval_over_seeds_and_images_is_as_wide_as_both_make_it() -> None:
    generator = np.random.default_rng(5)
    seeds, images = generator.normal(0, 1, (30, 1)), generator.normal(0, 1, (1, 400))
    found = crossed_estimate(seeds + images)
    error = np.sqrt(seeds.var() / 30 + images.var() / 400)
    assert found.value == pytest.approx(seeds.mean() + images.mean())
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)


def test_improvement_by_hand() -> None:
    ours, theirs = values((1, 5), (3, 5)), values((2, 5), (3, 5))
    # first stratum: 1 < 2, 1 < 3, 3 = 3; second: all equal
    assert improvement(ours, theirs) == ((1 + 1 + 0 + 0.5) / 4 + 0.5) / 2
    assert improvement(theirs, ours) == 1 - improvement(ours, theirs)
    found = improvement_estimate(ours, theirs)
    assert found.value == improvement(ours, theirs)
    assert 0.25 <= found.low < found.value < found.high <= 0.75


def test_improvement_is_certain_where_no_run_is_as_good() -> None:
    ours, theirs = values((1,), (2,)), values((3,), (4,))
    assert improvement_estimate(ours, theirs) == Estimate(1.0, 1.0, 1.0)
    assert improvement_estimate(theirs, ours).words(2) == "0.00"


def test_an_estimate_is_written_with_its_interval() -> None:
    assert Estimate(-0.1234, -0.2, 0.05).words() == "-0.123 [-0.200, 0.050]"
    assert Estimate(0.1234, -0.2, 0.05).words(1, signed=True) == "+0.1 [-0.2, +0.1]"


@pytest.mark.parametrize("shape", [(3,), (0, 2), (2, 0), (1, 2, 3)])
def test_what_is_no_table_of_runs_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="give one number per seed and stratum"):
        estimate(np.zeros(shape))
    with pytest.raises(DataError, match="give one number per seed and stratum"):
        improvement(np.zeros((2, 2)), np.zeros(shape))


def test_other_strata_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="2 and 3 strata cannot be compared"):
        improvement(np.zeros((4, 2)), np.zeros((4, 3)))
