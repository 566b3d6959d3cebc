"""Local search without sensitivities."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant import QuantizationConfig, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_experiments.baselines.random_swap import RandomSwap, is_full


def test_full_is_what_leaves_no_room_for_a_more_expensive_option() -> None:
    problem = ToyProblem(3, 5.0, SearchSpace(bits=(2, 4, 8)))
    rows = np.array([row for row in problem.everything() if problem.feasible.fits(row)])

    def room_somewhere(row: np.ndarray) -> bool:
        raised = [(layer, option) for layer in range(3) for option in range(row[layer] + 1, 3)]
        return any(
            problem.feasible.fits([*row[:layer], option, *row[layer + 1 :]])
            for layer, option in raised
        )

    assert is_full(problem.feasible, rows).tolist() == [not room_somewhere(row) for row in rows]


def test_it_draws_first_and_then_stays_near_the_best() -> None:
    result = RandomSwap(start=0.25, tries=100).search(ToyProblem(7, 4.0), 40, seed=0)
    best = max(result.history[:10], key=lambda e: e.value)
    for evaluation in result.history[10:]:
        apart = sum(a != b for a, b in zip(evaluation.config, best.config, strict=True))
        assert 1 <= apart <= 2
        assert evaluation.feasible
        if evaluation.value > best.value:
            best = evaluation


def test_it_is_better_than_random() -> None:
    def log_losses(name: str) -> float:
        problem = ToyProblem(7, 4.0)
        losses = [make_searcher(name).search(problem, 60, seed).score.loss for seed in range(5)]
        return float(np.log(losses).mean())

    assert log_losses("random-swap") < log_losses("random") - 0.05


def test_stuck_on_a_hill_it_shakes_and_goes_on() -> None:
    def hills(config: QuantizationConfig) -> float:
        """The one best configuration is three layers away from the second best."""
        bits = tuple(choice.bits for choice in config)
        return 0.1 if bits == (4, 4, 4, 2) else 1.0 + 0.01 * sum(b != 2 for b in bits)

    problem = ToyProblem(4, 40.0, SearchSpace(bits=(2, 4)), loss_of=hills)
    result = RandomSwap(start=0.05, tries=3).search(problem, 16, seed=0)
    assert result.score.loss == 0.1


def test_a_space_that_is_used_up_ends_it() -> None:
    problem = ToyProblem(2, 4.0, SearchSpace(bits=(2, 3, 4)))
    result = RandomSwap().search(problem, 500, seed=0)
    assert result.stopped == "exhausted"
    assert len(result.history) == problem.feasible.count()


@pytest.mark.parametrize(("setting", "value"), [("start", 2.0), ("kick", 0), ("tries", 0)])
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{setting}={value}"):
        RandomSwap(**{setting: value})
