"""Racing: an evaluation ends when it is clear that its configuration does not beat another one.

The two are compared on the same samples, so that what makes a sample hard for both drops out
(paired differences, as in F-Race, Birattari et al. 2002). The validation samples are a finite set
in a fixed random order; what has been seen of it is a draw without replacement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from rlquant.data import Samples
from rlquant.errors import SettingsError, whole_number
from rlquant.score import Measurement, Objective, PerSample

LEAST_SEEN = 30
"""No race ends on fewer samples: their spread says too little of that of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Racing:
    """When an evaluation is ended before it has seen all validation samples.

    Attributes:
        confidence: at least this probability that a configuration that beats its rival on all
            samples is not given up; above 0.5 and below 1, shared between all looks. It takes mean
            differences as normal: few samples with very large losses make it less.
        top: the rival is the best configuration so far (1) or the second best (2), ...
        seed: of the order of the validation samples.
    """

    confidence: float = 0.95
    top: int = 1
    seed: int = 0

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
        order = torch.randperm(len(samples), generator=draw).to(samples.targets.device)
        return Samples(tuple(t[order] for t in samples.inputs), samples.targets[order])

    def quantile(self, looks: int) -> float:
        """Return how many standard errors a difference must be above 0, at one of `looks` looks."""
        return NormalDist().inv_cdf(1.0 - (1.0 - self.confidence) / max(1, looks))


def require_racing(racing: Any, objective: Objective, fidelity: str) -> Racing | None:
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
    return racing


class Race:
    """One configuration against a rival whose losses on all samples are known.

    Args:
        needed: how many standard errors above 0 the difference must be for an end.
        rival: the rival's losses, shape `(samples,)`; None to run to the end, as does who races
            against losses that are not finite.
    """

    def __init__(self, needed: float, rival: Tensor | None = None) -> None:
        finite = rival is not None and bool(rival.isfinite().all())
        self._needed, self._rival = needed, rival if finite else None
        self._losses: list[Tensor] = []
        self.seen = 0

    def watch(
        self, outputs: Iterable[Any], batches: Sequence[Samples], objective: PerSample
    ) -> Iterator[Any]:
        """Hand on the outputs of one batch after the other until the race is over."""
        for batch, given in zip(batches, outputs, strict=False):
            self._losses.append(objective.losses(given, batch.targets).double())
            self.seen += len(batch)
            yield given
            if self.over:
                return

    @property
    def losses(self) -> Tensor:
        """The losses of the samples that were seen."""
        return torch.cat(self._losses)

    @property
    def over(self) -> bool:
        """Whether the configuration is given up."""
        if self._rival is None or self.seen == len(self._rival):
            return False
        difference, error = self._difference(self._rival)
        return not math.isfinite(difference) or difference > self._needed * error

    def estimate(self, accuracy: float) -> Measurement:
        """Return what is known of a configuration that was given up.

        Its loss is the rival's on all samples plus the difference on those seen: that varies less
        than the mean of what was seen.
        """
        assert self._rival is not None
        difference, error = self._difference(self._rival)
        loss = float(self._rival.mean()) + difference
        if not math.isfinite(loss):
            return Measurement(math.inf, accuracy, self.seen, math.inf)
        return Measurement(loss, accuracy, self.seen, error)

    def _difference(self, rival: Tensor) -> tuple[float, float]:
        """Return how much larger the loss is than the rival's, estimated, and its standard error.

        The error is that of a draw without replacement: none where all samples were seen. Of less
        than `LEAST_SEEN` it is infinite.
        """
        differences = self.losses - rival[: self.seen]
        mean = float(differences.mean())
        if self.seen < LEAST_SEEN:
            return mean, math.inf
        unseen = 1.0 - self.seen / len(rival)
        return mean, float(differences.std()) * math.sqrt(unseen / self.seen)
