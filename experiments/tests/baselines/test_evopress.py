"""Evolution by level switches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from problems import problem
from rlquant import Budget, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents import Session
from rlquant_experiments.baselines.evopress import EvoPress, Levels, paper_stages
from small_networks import samples_of, trained


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


def test_stages_have_the_papers_shares_in_whole_samples() -> None:
    made = problem("mlp", validation_data=samples_of("mlp", 128, seed=2))
    assert paper_stages(made) == (2, 16)
    assert paper_stages(problem("mlp", validation_data=samples_of("mlp", 8, seed=2))) == (1,)
    assert paper_stages(ToyProblem(3, 4.0)) == paper_stages(problem(fidelity="tuned")) == ()


def test_a_generation_is_raced_and_no_stage_takes_more_than_the_last() -> None:
    space = SearchSpace(bits=(1, 2, 3, 4, 6, 8), points=("symmetric",))
    made = problem("mlp", trained("mlp"), space=space, budget=Budget.average_bits(5.0))
    session = Session(made, 30)
    searcher = EvoPress(tokens=(5, 25), sizes=(64, 16, 2))
    assert searcher._stages(session) == ([5, 25], [20, 4, 2])
    result = searcher.search(made, 12, seed=0)
    assert all(e.final and e.feasible and e.score.samples == 50 for e in result.history)
    assert any("raced on few of 50 tokens" in note for note in result.notes)
    assert len(result.history) < 12


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tokens": (10,)}, r"sizes=\(128, 16, 4\) of 1 stages"),
        ({"tokens": (10, 5)}, "use numbers that grow"),
        ({"sizes": (4, 0)}, "sizes=0, use a whole number of at least 1"),
    ],
)
def test_stages_that_do_not_fit_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        EvoPress(**settings)
