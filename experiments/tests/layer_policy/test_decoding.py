"""Knapsacks by the price of a bit: within the budget, and nearly the best."""

from __future__ import annotations

from itertools import product

import numpy as np
from made_landscapes import made_landscape

from rlquant_experiments.layer_policy.decoding import solve_by_prices


def test_answers_keep_the_budget_and_are_nearly_best() -> None:
    landscape = made_landscape(5, 4)
    limit = landscape.limits[0]
    draws = np.random.default_rng(0)
    effects = landscape.increases * np.exp(draws.standard_normal((20, *landscape.increases.shape)))
    answers = solve_by_prices(effects, landscape.costs, limit)
    every, rows = np.array(list(product(range(4), repeat=5))), np.arange(5)
    fits = landscape.costs[rows, every].sum(axis=1) <= limit
    assert (landscape.costs[rows, answers].sum(axis=1) <= limit).all()
    for effect, answer in zip(effects, answers, strict=True):
        sums = effect[rows, every].sum(axis=1)
        step = np.ptp(effect, axis=1).max()
        assert effect[rows, answer].sum() <= sums[fits].min() + step


def test_with_room_for_everything_the_least_effects_are_taken() -> None:
    landscape = made_landscape(5, 4)
    answers = solve_by_prices(landscape.increases[None], landscape.costs, 1e9)
    assert (answers[0] == landscape.increases.argmin(axis=1)).all()
