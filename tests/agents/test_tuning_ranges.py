"""The ranges of settings that are tuned."""

from __future__ import annotations

import pytest

from rlquant_agents.searcher import make_searcher
from rlquant_agents.tuning_ranges import (
    RANGES,
    OneOf,
    Real,
    Whole,
    ranges_of,
    shipped_settings,
)


@pytest.mark.parametrize("name", list(RANGES))
def test_shipped_settings_are_within_the_ranges(name: str) -> None:
    ranges = ranges_of(name)
    for setting, value in shipped_settings(name, ranges).items():
        match ranges[setting]:
            case OneOf(options):
                assert value in options
            case Whole(low, high) | Real(low, high):
                assert low <= value <= high


@pytest.mark.parametrize("name", list(RANGES))
def test_a_searcher_takes_both_ends_of_every_range(name: str) -> None:
    ends = [
        {k: of.options[0] if isinstance(of, OneOf) else of.low for k, of in RANGES[name].items()},
        {k: of.options[-1] if isinstance(of, OneOf) else of.high for k, of in RANGES[name].items()},
    ]
    for settings in ends:
        make_searcher(name, **settings)
