"""The simulation of many workers, against times worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rlquant_experiments.scaling.simulation import (
    Evaluations,
    Overheads,
    asynchronous,
    efficiency,
    in_batches,
)

FREE = Overheads(0.0, 0.0, lambda batch: 0.0)
SECONDS = np.array([1.0, 3.0, 1.0, 1.0])


def test_a_batch_waits_for_its_slowest_evaluation() -> None:
    # two workers: 1 and 3 side by side, then 1 and 1
    assert in_batches(SECONDS, 2, 2, FREE) == 4.0
    # in one batch the free worker takes the two short ones while the long one runs
    assert in_batches(SECONDS, 2, 4, FREE) == 3.0
    assert efficiency(SECONDS, 2, 4.0) == 6.0 / 8.0


def test_an_asynchronous_search_keeps_workers_busy() -> None:
    assert asynchronous(SECONDS, 2, 2, FREE) == 3.0
    assert asynchronous(SECONDS, 2, 1, FREE) == 6.0


def test_one_worker_takes_the_sum_of_everything() -> None:
    overheads = Overheads(0.25, 0.5, lambda batch: 1.0 + batch)
    # a batch of 1: proposal 2, handling 0.25, latency 0.5, evaluation
    assert in_batches(SECONDS, 1, 1, overheads) == 4 * (2.0 + 0.25 + 0.5) + 6.0
    assert asynchronous(SECONDS, 1, 1, overheads) == 4 * (2.0 + 0.25 + 0.5) + 6.0
    # one batch of 4: proposal 5, the first is handled, then the worker is never idle
    assert in_batches(SECONDS, 1, 4, overheads) == 5.0 + 0.25 + 4 * 0.5 + 6.0


def test_who_asks_one_by_one_can_be_the_bottleneck() -> None:
    overheads = Overheads(1.0, 0.0, lambda batch: 0.0)
    # asked at 1, 2, 3, 4; the last takes 1
    assert asynchronous(SECONDS, 64, 64, overheads) == 5.0


def test_stragglers_are_as_many_and_as_slow_as_asked_for() -> None:
    drawn = Evaluations((2.0,), stragglers=0.1, slowdown=3.0).drawn(10_000, seed=0)
    assert set(drawn.tolist()) == {2.0, 6.0}
    assert (drawn == 6.0).mean() == pytest.approx(0.1, abs=0.01)
