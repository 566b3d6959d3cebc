"""Runs on a live network: the test set that no search saw, and the time of evaluations."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import numpy as np

from rlquant.data import Data
from rlquant.problem.protocol import Live, Refines
from rlquant_experiments.comparison.held_out import measure_images
from rlquant_experiments.comparison.runs import Run
from rlquant_experiments.comparison.stratum import Stratum

TIMED_EVALUATIONS = 9


def evaluation_seconds(problem: Refines) -> float:
    """Return the median time of evaluations, each of a configuration not measured before.

    One that was measured before would be answered from the prefixes that it shares with itself.
    """
    generator = np.random.default_rng(0)
    times = []
    for _ in range(TIMED_EVALUATIONS):
        config = problem.feasible.config(problem.feasible.sample(generator))
        start = time.perf_counter()
        problem.evaluator.measure(config)
        times.append(time.perf_counter() - start)
    return median(times)


def with_test(stratum: Stratum, test: Data, cost: float) -> Stratum:
    """Return a stratum whose runs know their networks' results on the test set, and their times.

    Args:
        stratum: with its runs.
        test: data that no search saw.
        cost: seconds of an evaluation, whatever other runs had left in the store.
    """
    problem = stratum.problem
    assert isinstance(problem, Live)

    def measured(run: Run) -> Run:
        score, images = measure_images(problem.build(run.config), test)
        computing = cost * len(run.curve)
        seconds = run.seconds + computing
        return replace(run, test=score, held_out=images, seconds=seconds,
                       evaluator_seconds=computing)  # fmt: skip

    return replace(stratum, runs={k: [*map(measured, of)] for k, of in stratum.runs.items()})
