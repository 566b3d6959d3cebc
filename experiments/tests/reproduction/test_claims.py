"""When a claim counts as reproduced."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlquant.errors import SettingsError
from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding, Side, Table
from rlquant_experiments.reproduction.statistics import Difference


def compared(low: float, high: float, side: Side, limit: float = 0.0) -> Comparison:
    return Comparison("a - b", Difference((low + high) / 2, low, high, 3), side, limit)


@pytest.mark.parametrize(
    ("low", "high", "side", "limit", "verdict"),
    [
        (0.5, 2.0, "above", 0.0, "reproduced"),
        (0.0, 2.0, "above", 0.0, "tie"),
        (0.0, 0.0, "above", 0.0, "tie"),
        (0.0, 0.0, "below", 0.0, "tie"),
        (-0.1, 2.0, "above", 0.0, "tie"),
        (-2.0, -0.1, "above", 0.0, "not reproduced"),
        (-2.0, -0.1, "below", 0.0, "reproduced"),
        (-2.0, 0.4, "below", 0.5, "reproduced"),
        (-2.0, 0.6, "below", 0.5, "tie"),
        (0.6, 0.9, "below", 0.5, "not reproduced"),
        (-0.4, 0.5, "within", 0.5, "reproduced"),
        (-0.6, 0.5, "within", 0.5, "tie"),
        (0.6, 0.9, "within", 0.5, "not reproduced"),
        (-0.9, -0.6, "within", 0.5, "not reproduced"),
        (-math.inf, math.inf, "above", 0.0, "tie"),
    ],
)
def test_the_whole_interval_decides(
    low: float, high: float, side: Side, limit: float, verdict: str
) -> None:
    assert compared(low, high, side, limit).verdict == verdict


def test_a_claim_in_words() -> None:
    assert compared(0, 1, "above").claimed == "above 0"
    assert compared(0, 1, "below", 0.5).claimed == "below 0.5"
    assert compared(0, 1, "within", 0.5).claimed == "within 0.5 of 0"


def test_within_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'a - b': limit=0\.0, use one above 0"):
        compared(0, 1, "within")


def test_a_comparison_of_values_by_seed() -> None:
    comparison = Comparison.of("a - b", np.array([1.0, 2.0, 3.0]), "above", -1.0, digits=1)
    assert comparison.difference.words(comparison.digits) == "+2.0 [-0.5, +4.5]"
    assert comparison.verdict == "reproduced"


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ("rr", "reproduced"),
        ("rt", "tie"),
        ("tt", "tie"),
        ("rn", "not reproduced"),
        ("tn", "not reproduced"),
        ("", "tie"),
    ],
)
def test_all_comparisons_decide_together(parts: str, verdict: str) -> None:
    made = {
        "r": compared(1, 2, "above"),
        "t": compared(-1, 2, "above"),
        "n": compared(-2, -1, "above"),
    }
    finding = Finding(
        claim=Claim("X1", "a is above b."),
        ours="",
        table=Table((), ()),
        comparisons=[made[part] for part in parts],
    )
    assert finding.verdict == verdict
    assert finding.seeds == (3 if parts else 0)
