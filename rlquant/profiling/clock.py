"""Timing of several things on a busy machine: in turns, so that all meet the same disturbances."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]

SHORTEST = 1e-3
"""Seconds that a measurement should take: shorter tasks are run several times in a row."""
MOST_REPEATS = 10


def times_in_turns(
    tasks: Sequence[Callable[[], object]],
    rounds: int,
    told: Callable[[int], object] | None = None,
) -> Seconds:
    """Run every task in every round, each time once more than counts.

    The run that does not count brings back to the caches what the other tasks drove out, so that
    a task takes as long among others as it does alone.

    Args:
        tasks: what to time.
        rounds: of all tasks.
        told: of each finished round's number.

    Returns:
        Seconds of one run, shape `(rounds, tasks)`.
    """
    taken: Seconds = np.empty((rounds, len(tasks)))
    repeats = [_repeats(task) for task in tasks]
    for row in range(rounds):
        for column, (task, count) in enumerate(zip(tasks, repeats, strict=True)):
            task()
            start = time.perf_counter()
            for _ in range(count):
                task()
            taken[row, column] = (time.perf_counter() - start) / count
        if told is not None:
            told(row + 1)
    return taken


def _repeats(task: Callable[[], object]) -> int:
    """Return how often a task has to run for a time that can be measured."""
    task()
    start = time.perf_counter()
    task()
    once = time.perf_counter() - start
    return max(1, min(MOST_REPEATS, round(SHORTEST / max(once, 1e-9))))


def medians(taken: Seconds) -> Seconds:
    """Return each task's median, in units of the rounds' common speed.

    A round in which everything was slow is scaled to the others first.
    """
    level = np.median(taken / np.median(taken, axis=0), axis=1, keepdims=True)
    middle: Seconds = np.median(taken / level, axis=0)
    return middle
