"""Event simulation of a search with many workers: in batches, and asynchronous.

One process asks and records, one task after the other; workers take tasks in the order in which
they were asked.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Overheads:
    """Seconds of a search that are no evaluation.

    Attributes:
        handling: of the asking process for each task: sending it, taking and recording its answer.
        latency: for which a worker is kept by a task beyond its evaluation.
        proposal: of the searcher for a batch of so many configurations.
    """

    handling: float
    latency: float
    proposal: Callable[[int], float]


@dataclass(frozen=True)
class Evaluations:
    """How long evaluations take.

    Attributes:
        measured: seconds of real ones, from which those of the simulation are drawn.
        stragglers: share of tasks that take longer, in [0, 1].
        slowdown: how many times as long.
    """

    measured: tuple[float, ...]
    stragglers: float = 0.1
    slowdown: float = 3.0

    def drawn(self, count: int, seed: int) -> Floats:
        """Return the seconds of so many evaluations."""
        generator = np.random.default_rng(seed)
        seconds = generator.choice(np.array(self.measured), count)
        late = generator.random(count) < self.stragglers
        found: Floats = np.where(late, self.slowdown * seconds, seconds)
        return found


class _Workers:
    """Workers that are free from a moment on."""

    def __init__(self, count: int) -> None:
        self._free = [0.0] * count

    def take(self, at: float, seconds: float) -> float:
        """Give the worker that is free first a task that is there from `at` on; return its end."""
        end = max(at, heapq.heappop(self._free)) + seconds
        heapq.heappush(self._free, end)
        return end


def in_batches(seconds: Floats, workers: int, batch: int, overheads: Overheads) -> float:
    """Return when a search ends that knows all answers to a batch before it asks for the next.

    Args:
        seconds: of its evaluations, in the order in which they are asked for.
        workers: at least 1.
        batch: at least 1.
        overheads: what is no evaluation.
    """
    now, pool = 0.0, _Workers(workers)
    for start in range(0, len(seconds), batch):
        asked = seconds[start : start + batch]
        now += overheads.proposal(len(asked))
        ends = []
        for each in asked.tolist():
            now += overheads.handling
            ends.append(pool.take(now, overheads.latency + each))
        now = max(now, *ends)
    return now


def asynchronous(seconds: Floats, workers: int, pending: int, overheads: Overheads) -> float:
    """Return when a search ends that asks for one more configuration at each answer.

    Args:
        seconds: of its evaluations, in the order in which they are asked for.
        workers: at least 1.
        pending: configurations that are asked for and not answered, at least 1.
        overheads: what is no evaluation.
    """
    now, pool = 0.0, _Workers(workers)
    ends: list[float] = []
    for each in seconds.tolist():
        if len(ends) == pending:
            now = max(now, heapq.heappop(ends))
        now += overheads.proposal(1) + overheads.handling
        heapq.heappush(ends, pool.take(now, overheads.latency + each))
    return max(now, *ends)


def efficiency(seconds: Floats, workers: int, end: float) -> float:
    """Return the share of the workers' time in which they evaluated, in [0, 1]."""
    return float(seconds.sum()) / (workers * end)
