"""Evolution by level switches."""

from __future__ import annotations

import numpy as np

from rlquant import SearchSpace
from rlquant.testing import ToyProblem
from rlquant_experiments.baselines.evopress import EvoPress, Levels


def test_a_switch_raises_one_layer_by_a_level_and_keeps_the_budget() -> None:
    feasible = ToyProblem(7, 4.0, SearchSpace(bits=(2, 3, 4, 6))).feasible
    levels, generator = Levels(feasible), np.random.default_rng(0)
    base = feasible.repair([2] * 7)
    costs = feasible.costs[np.arange(7), base]
    for _ in range(50):
        child = levels.switched(base, generator)
        assert feasible.fits(child)
        raised = feasible.costs[np.arange(7), child] > costs
        assert raised.sum() <= 1
        if raised.any():
            (layer,) = np.flatnonzero(raised)
            between = sorted(set(feasible.costs[layer].tolist()))
            step = between.index(feasible.costs[layer, child[layer]])
            assert step == between.index(costs[layer]) + 1


def test_it_starts_uniform_and_keeps_the_best_of_a_generation() -> None:
    result = EvoPress(children=4).search(ToyProblem(7, 4.0), 40, seed=0)
    first = result.history[0].config
    assert len({choice.bits for choice in first}) == 1
    assert all(evaluation.feasible for evaluation in result.history)
    assert result.score.loss < result.history[0].score.loss
