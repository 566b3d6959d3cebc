"""A predictor and a genetic algorithm in turns."""

from __future__ import annotations

import numpy as np

from rlquant.testing import ToyProblem
from rlquant_agents.search.searcher import make_searcher
from rlquant_experiments.baselines.amq import AMQ, bits_taken


def test_bits_are_shares_of_the_dearest_option() -> None:
    feasible = ToyProblem(3, 4.0).feasible
    shares = bits_taken(feasible)
    assert np.array_equal(shares.max(axis=1), np.ones(3))
    assert (np.diff(shares[:, np.argsort(feasible.costs[0])], axis=1) >= 0).all()


def test_it_is_better_than_random() -> None:
    def log_losses(name: str) -> float:
        losses = [make_searcher(name).search(ToyProblem(7, 4.0), 40, s).score.loss for s in (0, 1)]
        return float(np.log(losses).mean())

    assert log_losses("amq") < log_losses("random")


def test_evaluations_after_the_start_come_in_batches() -> None:
    result = AMQ(batch=2, population=20, generations=2).search(ToyProblem(7, 4.0), 20, seed=0)
    assert len(result.history) == 20
