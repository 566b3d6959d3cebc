"""How far a long computation is: what is told of its stages."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Given the stage, in words, how many of its steps are done, and how many there are."""


def unheard(stage: str, done: int, total: int) -> None:
    """Hear of progress, and do nothing."""


def counted(progress: Progress, stage: str, total: int) -> Callable[[], None]:
    """Return what is called after each step of a stage."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(stage, done, total)

    return step
