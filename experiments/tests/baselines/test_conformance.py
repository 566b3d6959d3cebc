"""The baselines keep what searchers promise."""

from __future__ import annotations

from named_searchers import these
from rlquant_agents.testing import SearcherConformance
from rlquant_experiments.baselines.registration import BASELINES

ASKS_ONCE = "knapsack-weight-error"
# their own tests run them
NEED_A_NETWORK = {
    *("knapsack-fisher", "knapsack-output-error", "knapsack-linearity"),
    *("auto-first-answer", "auto-racing"),
}
DRAWS_NOTHING = "greedy"


class TestBaselines(SearcherConformance):
    searcher = these(*sorted(set(BASELINES) - {ASKS_ONCE, *NEED_A_NETWORK, DRAWS_NOTHING}))


class TestGreedy(SearcherConformance):
    draws = False
    searcher = these(DRAWS_NOTHING)


class TestKnapsackByWeightError(SearcherConformance):
    draws = finds_optimum = asks_again = False
    searcher = these(ASKS_ONCE)
