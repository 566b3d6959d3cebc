"""Interim results of an evaluation, and early stopping by them, live or from a record.

Looks depend on the configuration alone. Who is shown those of a record therefore ends the
evaluation where a live one would have ended, and nothing has to be computed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rlquant.config import QuantizationConfig
from rlquant.score import Measurement

Look = npt.NDArray[np.float64]
"""Of a validation batch: its summed metric, then the loss of each sample. Of a training: the steps
taken, then the figures of `rlquant.training.watching.FIGURES`."""

LooksAt = Callable[[Look], bool]
"""Shown each look in turn; returns whether the evaluation ends there."""

LOOKS_BYTES = 2**28
"""Memory for the looks of one problem's configurations; what is above it is in the store alone."""


class Ended(Exception):
    """Who looks at an evaluation ended it, so that it has no whole measurement."""


class Ending(Protocol):
    """What may end an evaluation early."""

    def ends(self, look: Look) -> bool:
        """Take in the next look; return whether the evaluation ends here."""

    def outcome(self) -> Measurement:
        """Return the partial measurement of an evaluation that was ended, or raise."""


class Recorder:
    """Keeps the looks at a running evaluation, and asks `ending` at each whether it ends.

    Args:
        ending: what may end it.
        known: so many looks `ending` was shown already, from a record.
    """

    def __init__(self, ending: Ending | None = None, known: int = 0) -> None:
        self.looks: list[Look] = []
        self._ending, self._known = ending, known

    def __call__(self, look: Look) -> bool:
        """Keep a look; return whether the evaluation ends here."""
        self.looks.append(look)
        if self._ending is None or len(self.looks) <= self._known:
            return False
        return self._ending.ends(look)


class LooksMemory:
    """Looks by configuration; above `LOOKS_BYTES` those that were not used longest are dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[QuantizationConfig, Sequence[Look]] = OrderedDict()
        self._bytes = 0

    def get(self, config: QuantizationConfig) -> Sequence[Look] | None:
        """Return the looks that are kept of a configuration, None where there are none."""
        if config in self._kept:
            self._kept.move_to_end(config)
        return self._kept.get(config)

    def put(self, config: QuantizationConfig, looks: Sequence[Look]) -> None:
        """Keep the looks of a configuration."""
        self._bytes += _nbytes(looks) - _nbytes(self._kept.pop(config, ()))
        self._kept[config] = looks
        while self._bytes > LOOKS_BYTES and len(self._kept) > 1:
            self._bytes -= _nbytes(self._kept.popitem(last=False)[1])

    def drop(self, config: QuantizationConfig) -> None:
        """Forget the looks of a configuration."""
        self._bytes -= _nbytes(self._kept.pop(config, ()))


def _nbytes(looks: Sequence[Look]) -> int:
    return sum(look.nbytes for look in looks)
