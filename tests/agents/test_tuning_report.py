"""The verdict and the report of a tuning."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rlquant import Budget
from rlquant_agents.tuning import Judged, Side, Tuning
from rlquant_agents.tuning_report import report, verdict
from rlquant_agents.tuning_settings import TuneSettings
from rlquant_agents.tuning_trial import Outcome, Tried

BUDGET = Budget.average_bits(4.0)


def tuning_with(differences: list[list[float]]) -> Tuning:
    """Return one with these differences, a row a seed and a column a table."""
    areas = np.array(differences)
    tables = tuple(f"table{i}" for i in range(areas.shape[1]))
    judged = Judged(Side(areas + 1.0, 2.0), Side(np.ones(areas.shape), 1.0), tables)
    tried = (
        Tried(0, {"x": 1.5}, (Outcome((2.0,), (1.0,)),), True),
        Tried(1, {"x": 0.25}, (Outcome((1.0,), (3.0,)),), True),
        Tried(2, {"x": 0.1}, (Outcome((0.5,), (3.0,)),), False),
    )
    return Tuning(tried, judged, ("one",), ("one is left out.",), ("one",))


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([[-0.5, -0.4], [-0.4, -0.5]], r"better than the shipped ones beyond the interval\."),
        ([[-0.5, 0.1], [-0.4, 0.1]], "beyond the interval, on these tables; for others it is not"),
        ([[0.5, 0.4], [0.4, 0.5]], "worse than the shipped ones"),
        ([[0.5, -0.25], [-0.5, 0.5]], "not told apart"),
    ],
)
def test_the_verdict_is_by_the_intervals(differences: list[list[float]], words: str) -> None:
    found = verdict(tuning_with(differences))
    assert found.startswith('Trial 1 won the search:\n\n    {"x": 0.25}\n\n')
    assert re.search(words, found)
    assert f"seeds on the same tables: {np.mean(differences):+.4f}" in found
    assert "A run took 2.00 s, with the shipped settings 1.00 s." in found


def test_the_report_shows_the_best_settings_and_the_shipped_ones_place() -> None:
    text = report(TuneSettings(fixed=("a=1",)), tuning_with([[-0.5, 0.25]]), ["python", "x.py"])
    for words in (
        "    python x.py\n",
        "3 trials, of which 1 were given up",
        "one came with rlquant: a comparison of searchers there no longer says",
        "Fixed on both sides: a=1. one is left out.",
        "shipped settings (trial 0) are in place 2 of the 2 trials",
        "| 1 | 1 | 1.0000 | 3.00 | 0.25 |",
        "| 2 | 0 (shipped) | 2.0000 | 1.00 | 1.5 |",
        "| table0 | 0.5000 | 1.0000 | -0.5000 |",
        "| table1 | 1.2500 | 1.0000 | +0.2500 |",
        "(search.png)",
    ):
        assert words in text


def test_shipped_settings_beyond_the_best_ten_are_shown_too() -> None:
    tried = tuple(
        Tried(number, {"x": 0.5}, (Outcome((20.0 - number,), (1.0,)),), True)
        for number in range(15)
    )
    text = report(TuneSettings(), Tuning(tried, None, ("one",)), ["python"])
    assert "| 10 | 5 | 15.0000 |" in text
    assert "| 11 | 4 |" not in text
    assert "| 15 | 0 (shipped) | 20.0000 |" in text
    assert "No table that comes with rlquant" in text
