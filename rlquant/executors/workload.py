"""How busy the workers of an executor are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """What the workers of an executor do at a moment.

    Attributes:
        workers: that compute at the same time.
        running: items that are being computed, or are on their way.
        queued: items that wait for a worker.
        busy_seconds: seconds of work in all results so far, summed over workers.
    """

    workers: int
    running: int
    queued: int
    busy_seconds: float


Listener = Callable[[Workload], None]
"""Told whenever the workload has changed."""


def unheard(workload: Workload) -> None:
    """Tell nobody."""
