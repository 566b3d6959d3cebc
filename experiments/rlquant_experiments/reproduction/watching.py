"""Callbacks of the trainings of a reproduction."""

from __future__ import annotations

from collections.abc import Mapping

from rlquant.training.watching import Watcher
from rlquant_experiments.reproduction.runs import Progress


def telling(progress: Progress) -> Watcher:
    """Return a watcher that tells how many steps were taken since it was last told."""
    taken = 0

    def watch(step: int, figures: Mapping[str, float]) -> None:
        nonlocal taken
        progress(step - taken)
        taken = step

    return watch
