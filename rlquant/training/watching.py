"""Watchers of a training run: progress, and requests to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

WATCH_EVERY = 10
"""Steps between two reports; the loss is looked at as often, as each look waits for the device."""

FIGURES = ("loss", "cross_entropy", "learning_rate", "steps_left")
"""What a watcher is told at each look, by name; see `Watcher`."""


class Watcher(Protocol):
    """Told every `WATCH_EVERY` steps of a run, and after its last one."""

    def __call__(self, step: int, figures: Mapping[str, float]) -> bool | None:
        """Called with the progress of a run; the run ends early where this returns True.

        Args:
            step: steps taken.
            figures: `FIGURES` by name: "loss" (mean training loss of the last `WATCH_EVERY` steps),
                "cross_entropy" (of the labels alone, comparable between configurations),
                "learning_rate" and "steps_left".
        """
