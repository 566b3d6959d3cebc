"""What an evaluation takes, by which searchers that share a store are compared."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from rlquant_experiments.comparison.live import evaluation_seconds


def test_an_evaluation_that_is_known_already_is_not_timed() -> None:
    known: set[int] = set()

    def measure(config: int) -> None:
        if config not in known:
            known.add(config)
            time.sleep(0.01)

    feasible = SimpleNamespace(sample=lambda g: int(g.integers(2**40)), config=int)
    problem = SimpleNamespace(feasible=feasible, evaluator=SimpleNamespace(measure=measure))
    assert np.isclose(evaluation_seconds(problem), 0.01, rtol=1.0)
    assert evaluation_seconds(problem) < 0.005  # the same draws: what is measured once is known
