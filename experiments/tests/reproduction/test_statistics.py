"""Against numbers computed by hand: t(0.975, 2) = 4.302653, t(0.975, 4) = 2.776445."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlquant.errors import DataError
from rlquant_experiments.reproduction.statistics import Difference, Summary


def test_mean_and_deviation() -> None:
    summary = Summary.of(np.array([1.0, 2.0, 6.0]))
    assert (summary.mean, summary.count) == (3.0, 3)
    assert summary.deviation == pytest.approx(math.sqrt(7.0))
    assert summary.words() == "3.00 ± 2.65"
    assert summary.words(0) == "3 ± 3"


def test_one_seed_has_no_spread() -> None:
    summary = Summary.of(np.array([4.0]))
    assert math.isnan(summary.deviation)
    assert summary.words(1) == "4.0"


def test_nothing_has_no_mean() -> None:
    with pytest.raises(DataError, match="give at least one seed"):
        Summary.of(np.array([]))


def test_a_paired_difference_by_students_t() -> None:
    difference = Difference.paired(np.array([11.0, 22.0, 33.0]), np.array([10.0, 20.0, 30.0]))
    assert (difference.mean, difference.count) == (2.0, 3)
    reach = 4.302653 / math.sqrt(3)  # the differences 1, 2, 3 have the deviation 1
    assert difference.low == pytest.approx(2 - reach, abs=1e-5)
    assert difference.high == pytest.approx(2 + reach, abs=1e-5)
    assert difference.words() == "+2.00 [-0.48, +4.48]"


def test_pairing_takes_out_what_seeds_share() -> None:
    seeds = np.array([1.0, 50.0, 7.0, 20.0, 3.0])
    difference = Difference.paired(seeds + 1, seeds)
    assert (difference.low, difference.high) == (1.0, 1.0)


def test_confidence() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    wide = Difference.of(values)
    assert wide.high - wide.mean == pytest.approx(2.776445 * math.sqrt(2.5 / 5), abs=1e-5)
    assert Difference.of(values, confidence=0.8).high < wide.high


def test_one_seed_decides_nothing() -> None:
    difference = Difference.of(np.array([3.0]))
    assert (difference.low, difference.high) == (-math.inf, math.inf)
    assert difference.words() == "+3.00 [one seed]"


def test_unequal_seeds_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="2 and 3 seeds cannot be paired"):
        Difference.paired(np.zeros(2), np.zeros(3))
