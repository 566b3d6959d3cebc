"""The baselines keep what every searcher promises: the product's suite, run on their names."""

from __future__ import annotations

import pytest

from conformance.test_searchers import *  # noqa: F403 - the tests of the suite
from rlquant_experiments.baselines.registration import BASELINES

NEED_A_NETWORK = {"knapsack-fisher"}
"""No other problem suits them: their own tests run them."""


@pytest.fixture(params=sorted(set(BASELINES) - NEED_A_NETWORK))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found
