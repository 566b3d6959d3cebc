"""Racing: early stopping of evaluations that cannot beat the incumbent.

The two are compared on the same samples, so that what makes a sample hard for both drops out
(paired differences, as in F-Race, Birattari et al. 2002). The validation samples are a finite set
in a fixed random order; what has been seen of it is a draw without replacement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlquant.arguments import explained
from rlquant.errors import SettingsError, whole_number
from rlquant.evaluation.looks import Look
from rlquant.objective import Objective, PerSample
from rlquant.samples import Samples
from rlquant.score import Measurement

Losses = npt.NDArray[np.float64]
"""Of samples one by one, shape `(samples,)`."""

LEAST_SEEN = 30
"""No race ends on fewer samples: their spread says too little of that of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Racing:
    """When an evaluation is ended before it has seen all validation samples.

    Attributes:
        confidence: at least this probability that a configuration that beats its incumbent on all
            samples is not given up; above 0.5 and below 1, shared between all looks. It takes mean
            differences as normal: few samples with very large losses make it less.
        top: the incumbent is the best configuration so far (1) or the second best (2), ...
        seed: of the order of the validation samples.
    """

    confidence: float = 0.95
    top: int = 1
    seed: int = 0

    @explained
    def __post_init__(self) -> None:
        whole_number("Racing: top", self.top, 1)
        whole_number("Racing: seed", self.seed, 0)
        if not isinstance(self.confidence, float) or not 0.5 < self.confidence < 1.0:
            raise SettingsError(
                f"Racing: confidence={self.confidence!r}, use a number above 0.5 and below 1"
            )

    def shuffled(self, samples: Samples) -> Samples:
        """Return the samples in the order in which they are raced."""
        draw = torch.Generator().manual_seed(self.seed)
        return samples.select(torch.randperm(len(samples), generator=draw))

    def quantile(self, looks: int) -> float:
        """Return how many standard errors a difference must be above 0, at one of `looks` looks."""
        return NormalDist().inv_cdf(1.0 - (1.0 - self.confidence) / max(1, looks))


def require_racing(
    racing: Any, objective: Objective, fidelity: str, stochastic: bool
) -> Racing | None:
    """Return what was given; `SettingsError` for no `Racing`, or where nothing can be raced."""
    if racing is None:
        return None
    if not isinstance(racing, Racing):
        raise SettingsError(f"racing={racing!r} is no Racing; make one, e.g. Racing()")
    if not isinstance(objective, PerSample):
        raise SettingsError(
            f"racing compares samples one by one: objective {objective.name!r} needs a method "
            f"losses(outputs, targets) -> Tensor (batch,)"
        )
    if fidelity != "calibrated":
        raise SettingsError(
            f"racing saves validation batches, which cost nothing beside the training of fidelity "
            f"{fidelity!r}; use it with fidelity='calibrated', or a pruner such as "
            f"'successive-halving'"
        )
    if stochastic:
        raise SettingsError(
            "racing cannot be combined with stochastic=True, whose scores are means over passes; "
            "leave racing out"
        )
    return racing


class Race:
    """One configuration against an incumbent whose losses on all samples are known.

    Args:
        needed: how many standard errors above 0 the difference must be for an end.
        incumbent: its losses, float64 `(samples,)`; where they are not all finite nothing ends.
    """

    def __init__(self, needed: float, incumbent: Losses) -> None:
        self._needed, self._incumbent = needed, incumbent
        self._beatable = not np.isfinite(incumbent).all()
        self._losses: list[Losses] = []
        self._metric = 0.0
        self.seen = 0

    def ends(self, look: Look) -> bool:
        """Take in a batch; return whether the configuration is given up."""
        self._metric += float(look[0])
        self._losses.append(look[1:])
        self.seen += len(look) - 1
        if self._beatable or self.seen == len(self._incumbent):
            return False
        difference, error = self._difference()
        return not math.isfinite(difference) or difference > self._needed * error

    def outcome(self) -> Measurement:
        """Return what is known of a configuration that was given up.

        Its loss is the incumbent's on all samples plus the difference on those seen: that varies
        less than the mean of what was seen.
        """
        difference, error = self._difference()
        loss, accuracy = float(self._incumbent.mean()) + difference, self._metric / self.seen
        if not math.isfinite(loss):
            return Measurement(math.inf, accuracy, self.seen, math.inf)
        return Measurement(loss, accuracy, self.seen, error)

    def _difference(self) -> tuple[float, float]:
        """Return the estimated loss difference to the incumbent, and its standard error.

        The error is that of a draw without replacement: none where all samples were seen. Of less
        than `LEAST_SEEN` it is infinite.
        """
        with np.errstate(invalid="ignore", over="ignore"):  # losses that are not finite
            differences = np.concatenate(self._losses) - self._incumbent[: self.seen]
            mean = float(differences.mean())
            if self.seen < LEAST_SEEN:
                return mean, math.inf
            unseen = 1.0 - self.seen / len(self._incumbent)
            return mean, float(differences.std(ddof=1)) * math.sqrt(unseen / self.seen)
