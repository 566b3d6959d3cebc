"""The claim that the tool stands on, on a real network: the agent beats random feasible search."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant import Budget, QuantizationProblem, tasks
from rlquant_agents import make_searcher

SEEDS = range(5)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "bits"), [("digits/resnet8", 2.5), ("digits/resnet14", 2.5)])
def test_masked_ppo_beats_random_search_on_the_mean_over_seeds(task: str, bits: float) -> None:
    loaded = tasks.load(task)
    problem = QuantizationProblem(
        loaded.network, loaded.train, loaded.validation, budget=Budget.average_bits(bits)
    )

    def mean_log_loss(searcher: str) -> float:
        found = [make_searcher(searcher).search(problem, 200, seed) for seed in SEEDS]
        assert all(result.score.average_bits <= bits for result in found)
        return float(np.mean([np.log(result.score.loss) for result in found]))

    assert mean_log_loss("masked-ppo") < mean_log_loss("random")
