"""Searches of 210 layers with 18 options: every searcher comes to an end, and soon."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest

from rlquant import SearchSpace
from rlquant.testing.toy_problem import ToyProblem
from rlquant_agents import make_searcher, searchers
from rlquant_agents.search.result import SearchResult

FEW, MANY = (10, ("channel",)), (210, ("channel", 128, 32))
GROWTH = MANY[0] * 18 / (FEW[0] * 6)
"""So many times as many combinations of a layer and an option."""
SHORTEST = 0.1
"""Seconds below which a search of few layers is all overhead."""


def searched(name: str, layers: int, group_size: tuple[object, ...]) -> tuple[SearchResult, float]:
    space = SearchSpace(group_size=group_size)  # type: ignore[arg-type]
    sensitivities = np.random.default_rng(0).lognormal(-4, 1, layers).tolist()
    problem = ToyProblem(layers, 3.2, space, sensitivities=sensitivities)
    started = time.process_time()
    result = make_searcher(name).search(problem, 20, seed=0)
    return result, time.process_time() - started


@cache
def imported(name: str) -> None:
    searched(name, 2, ("channel",))  # libraries are loaded once, whoever asks


@pytest.mark.slow
@pytest.mark.parametrize("name", searchers())
def test_own_computation_grows_no_faster_than_layers_and_options(name: str) -> None:
    imported(name)
    _, few = searched(name, *FEW)
    result, many = searched(name, *MANY)
    assert result.stopped in ("evaluations", "finished")
    assert len(result.history) == 20 or name == "uniform"
    assert many <= GROWTH * max(few, SHORTEST)


def test_pairwise_says_which_pairs_it_measures() -> None:
    problem = ToyProblem(60, 3.2)
    result = make_searcher("pairwise", pair_share=0.5).search(problem, 60, seed=0)
    assert len(result.history) == 60
    assert any(" of 1770 pairs" in note for note in result.notes)
