"""Evaluations until a regret is reached, by hand; runs that never get there count."""

from __future__ import annotations

import math

import numpy as np

from rlquant_experiments.comparison.statistics.targets import ToTarget, evaluations_to

CURVES = np.array(
    [
        [[0.5, 0.05, 0.01, 0.0], [0.5, 0.4, 0.3, 0.2]],
        [[0.04, 0.03, 0.03, 0.03], [0.5, 0.4, 0.3, 0.05]],
    ]
)
"""Two seeds, two strata, four evaluations."""


def test_the_first_evaluation_within_the_target_counts() -> None:
    assert evaluations_to(CURVES, 0.05).tolist() == [[2, math.inf], [1, 4]]
    assert evaluations_to(CURVES, 0.01).tolist() == [[3, math.inf], [math.inf, math.inf]]
    assert evaluations_to(CURVES, 1.0).tolist() == [[1, 1], [1, 1]]


def test_half_of_the_runs_and_the_restricted_mean() -> None:
    found = ToTarget.of(CURVES, 0.05)
    assert (found.reached, found.median) == (0.75, 2)  # of 1, 2, 4, never: half are there after 2
    assert found.restricted.value == (2 + 4 + 1 + 4) / 4  # the last is watched for 4
    assert found.median_words() == "2"


def test_where_most_never_get_there_there_is_no_median() -> None:
    found = ToTarget.of(CURVES, 0.01)
    assert (found.reached, found.median) == (0.25, math.inf)
    assert found.restricted.value == (3 + 4 + 4 + 4) / 4
    assert found.median_words() == "never"
