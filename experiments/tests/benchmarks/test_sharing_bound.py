"""The bound that distinct prefixes set to evaluations that share."""

from __future__ import annotations

import pytest

from rlquant_experiments.benchmarks.sharing_bound import bound_of_sharing


def test_one_configuration_shares_nothing() -> None:
    assert bound_of_sharing(["abc"], [1.0, 2.0, 3.0]) == 1.0


def test_the_same_configuration_is_run_once() -> None:
    assert bound_of_sharing(["abc"] * 5, [1.0, 2.0, 3.0]) == 5.0


def test_an_enumeration_pays_for_each_distinct_prefix() -> None:
    rows = [a + b for a in "xyz" for b in "xyz"]
    # nine configurations of 5 + 1 seconds; three first layers, nine second ones
    assert bound_of_sharing(rows, [5.0, 1.0]) == pytest.approx(9 * 6 / (3 * 5 + 9 * 1))


def test_what_agrees_at_the_end_only_shares_nothing() -> None:
    assert bound_of_sharing(["ac", "bc"], [1.0, 1.0]) == 1.0
