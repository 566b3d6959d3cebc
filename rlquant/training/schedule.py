"""Learning-rate schedules."""

from __future__ import annotations

import math

from rlquant.training.settings import TrainSettings


def rate_at(settings: TrainSettings, step: int, steps: int) -> float:
    """Return the factor of every learning rate at a step.

    Args:
        settings: names the schedule.
        step: the step about to be taken, 0 for the first.
        steps: steps of the whole run.
    """
    share = step / steps
    if settings.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * share))
    if settings.schedule == "steps":
        return 0.1 ** sum(share >= milestone for milestone in settings.milestones)
    return 1.0
