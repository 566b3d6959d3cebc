"""Timing of several things on a busy machine: in turns, so that all meet the same disturbances."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]


def times_in_turns(
    tasks: Sequence[Callable[[], object]],
    rounds: int,
    repeats: int = 1,
    told: Callable[[int], object] | None = None,
) -> Seconds:
    """Run every task once a round, after one round that does not count.

    Args:
        tasks: what to time.
        rounds: of all tasks.
        repeats: runs of a task in a row, of which the mean counts; for tasks of microseconds.
        told: of each finished round's number.

    Returns:
        Seconds of one run, shape `(rounds, tasks)`.
    """
    taken: Seconds = np.empty((rounds, len(tasks)))
    for task in tasks:
        task()
    for row in range(rounds):
        for column, task in enumerate(tasks):
            start = time.perf_counter()
            for _ in range(repeats):
                task()
            taken[row, column] = (time.perf_counter() - start) / repeats
        if told is not None:
            told(row + 1)
    return taken


def medians(taken: Seconds) -> Seconds:
    """Return each task's median, in units of the rounds' common speed.

    A round in which everything was slow is scaled to the others first.
    """
    level = np.median(taken / np.median(taken, axis=0), axis=1, keepdims=True)
    middle: Seconds = np.median(taken / level, axis=0)
    return middle
